"""Markers for the phases of a training step, almost free while nothing is measured.

A step is divided into the phases ``forward``, ``gradient`` and ``update``, refined with a dot
(``forward.positive``). A measurement installs an :class:`Observer`; without one, entering a phase
costs two attribute look-ups. A plain ``torch.profiler`` session sees the phases as well.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


class Category(StrEnum):
    """What bytes are for. Every byte that is reported belongs to exactly one category."""

    PARAMETERS = "parameters"
    BUFFERS = "buffers"  # fixed feedback matrices and heads
    INPUTS = "inputs"
    ACTIVATIONS = "activations"
    GRADIENTS = "gradients"
    OPTIMIZER_STATE = "optimizer_state"
    WORKSPACE = "workspace"


class Observer(Protocol):
    """Receives the events of a step: phase borders, and the purpose of tensors."""

    def enter(self, name: str) -> None:
        """A phase begins."""

    def leave(self, name: str) -> None:
        """A phase ends."""

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """The category of a tensor's bytes."""


_observer: Observer | None = None


def observer() -> Observer | None:
    """The observer that is installed."""
    return _observer


class phase:  # noqa: N801  (reads as a statement: ``with phase("forward"):``)
    """Mark a part of a training step: ``with phase("forward.positive"): ...``.

    Phases may nest; bytes and time belong to the innermost one and are counted in every
    enclosing one too.

    Args:
        name: ``forward``, ``gradient`` or ``update``, refined by dots. Any other name works too.

    Raises:
        ValueError: The name is empty or holds a ``|`` (the separator of the event stream).
    """

    __slots__ = ("_heard", "_record", "name")

    def __init__(self, name: str) -> None:
        if not name or "|" in name:
            raise ValueError(f"a phase needs a name without '|', got {name!r}")
        self.name = name
        self._heard: Observer | None = None
        self._record: torch.profiler.record_function | None = None

    def __enter__(self) -> None:
        self._heard = _observer
        if self._heard is not None:
            self._heard.enter(self.name)
        elif torch._C._autograd._profiler_enabled():  # a torch.profiler session: show it there
            self._record = torch.profiler.record_function(self.name)
            self._record.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._heard is not None:
            self._heard.leave(self.name)
            self._heard = None
        elif self._record is not None:
            self._record.__exit__(kind, error, trace)
            self._record = None


T = TypeVar("T", bound=torch.Tensor)


def tag(tensor: T, category: Category, label: str = "") -> T:
    """Set the category of a tensor's bytes if its phase does not imply it; returns the tensor.

    Without a tag, what is born in ``forward`` counts as activations, in ``gradient`` as gradients
    and in ``update`` as workspace.
    """
    if _observer is not None:
        _observer.tag(tensor, category, label)
    return tensor


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Install an observer for the duration of a block; measurements do not nest.

    Raises:
        RuntimeError: Another measurement is already running in this process.
    """
    global _observer  # noqa: PLW0603  (one process, one measurement)
    if _observer is not None:
        raise RuntimeError("a measurement is already running in this process; they cannot nest")
    _observer = observer
    try:
        yield
    finally:
        _observer = None
