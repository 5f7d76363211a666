"""Texts that every part of the house needs: names, numbers and problems in words for people.

A leaf: it imports nothing of this project, nothing heavy, and may be imported by all of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

MISSING = "-"
"""What a table shows where there is no figure."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What a message says after an unknown name: the nearest right ones, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"


def plain(value: object) -> str:
    """A value as a suite file or an option has it: ``true``, ``0.1``, ``adam``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def format_bytes(count: int) -> str:
    """Bytes for people, in powers of two: ``512 B``, ``112.0 KiB``, ``1.5 GiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds, four digits: ``1.234 ms``."""
    return MISSING if seconds is None else f"{1e3 * seconds:.4g} ms"


def ratio(value: float | None) -> str:
    """A ratio to three decimals: ``1.050``."""
    return MISSING if value is None else f"{value:.3f}"


def layer_sizes(model: str) -> tuple[int, ...]:
    """The widths of a fully connected net by its name, inputs and classes included.

    ``mlp-784-500x2-10`` has 784, 500, 500, 10; the name of any other net has none.
    """
    family, *parts = model.split("-")
    widths = [re.fullmatch(r"(\d+)(?:x(\d+))?", part) for part in parts]
    if family != "mlp" or not all(widths):
        return ()
    return tuple(int(each[1]) for each in widths if each for _ in range(int(each[2] or 1)))


def escape_markdown(text: str) -> str:
    """One line in which nothing is markup: the message of an error may hold anything."""
    for character in "\\`*_[]<>|#~$&":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0
) -> list[str]:
    """A table in Markdown, line by line; its last ``right`` columns are flush right."""
    left = len(head) - right
    rule = f"|{'---|' * left}{'--:|' * right}"
    lines = ["".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in (head, *rows)]
    return [lines[0], rule, *lines[1:]]


def markdown_code(text: str) -> str:
    """Text as code that may stand in a table."""
    return f"`{text.replace('|', chr(92) + '|').replace('`', chr(39))}`"


def counted(number: int, what: str) -> str:
    """A number of things: ``1 workload``, ``1,000 workloads``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def first_problem(error: ValidationError) -> str:
    """The first thing that a schema found wrong, as ``place: what``; for documents of programs.

    Files that people write are explained at length, by the folder whose schema it is.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
