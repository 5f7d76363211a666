"""What a check of a promise finds, and how it says so."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from trainfit.bench.processes.child import short_path
from trainfit.bench.profiler.places import user_file


class Standing(StrEnum):
    """Whether a promise is kept."""

    OK = "ok"
    BROKEN = "broken"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """What was found of one promise.

    Attributes:
        promise: Its name.
        standing: Whether it is kept.
        reason: Why it is broken or not applicable; empty if it is kept.
        where: ``file:line`` of the rule's code; empty if not known.
    """

    promise: str
    standing: Standing
    reason: str = ""
    where: str = ""


class BrokenPromiseError(Exception):
    """A rule breaks a promise.

    Args:
        message: What it did, and what would be right.
        where: The function that did so, or ``file:line``.
    """

    def __init__(self, message: str, where: object = "") -> None:
        super().__init__(message)
        self.where = where if isinstance(where, str) else place_of(where)


class NotApplicableError(Exception):
    """A promise says nothing about a rule; the message says why."""


def place_of(function: object) -> str:
    """``file:line`` of a function or method; empty if it has no code of Python's."""
    code = getattr(function, "__code__", None)
    return f"{short_path(code.co_filename)}:{code.co_firstlineno}" if code else ""


def raised_at(error: BaseException) -> str:
    """``file:line`` of the user's code in which an error was raised; empty if in none."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{user_file(each.filename)}:{each.lineno}" for each in frames]
    return next((line for line in reversed(lines) if not line.startswith(":")), "")


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put the part that was looked at before the message of a promise that is broken inside.

    Raises:
        BrokenPromiseError: With the longer message.
    """
    try:
        yield
    except BrokenPromiseError as error:
        raise BrokenPromiseError(f"{what}: {error}", error.where) from error
