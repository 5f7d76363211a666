"""A stream of allocation events: what an allocator told, in time order; no torch.

::

    warm-up step    | begin              measured step                end |
    A a  F a  A b   |  >forward  A c  A d  F c  <forward  >gradient ...   | F b

Allocations and frees are kept in columns (a step of a large net has millions), everything else
as marks between them.
"""

from __future__ import annotations

from array import array
from enum import StrEnum
from typing import NamedTuple


class StreamError(RuntimeError):
    """The events contradict each other, so no peak can be had from them."""


class MarkKind(StrEnum):
    """What happens between two allocations."""

    ENTER = "enter"
    LEAVE = "leave"
    TAG = "tag"
    TOUCH = "touch"
    BEGIN = "begin"
    END = "end"
    COLLECT = "collect"


class Mark(NamedTuple):
    """Something that happened before allocation event number ``position``.

    Attributes:
        position: Number of allocation events before it.
        kind: What happened.
        name: Phase (ENTER, LEAVE) or category (TAG).
        pointer: Address of the block a TAG speaks of.
        label: What the tensor is, for people (TAG); a number (TOUCH).
        module: Path of the module that ran (TAG).
        line: Line of code that ran (TAG).
    """

    position: int
    kind: MarkKind
    name: str = ""
    pointer: int = 0
    label: str = ""
    module: str = ""
    line: str = ""


class Stream:
    """Builder of an event stream; call the methods in time order."""

    def __init__(self) -> None:
        self.pointers = array("q")
        self.sizes = array("q")  # signed: an allocation is positive, a free negative
        self.marks: list[Mark] = []
        self._dead: set[int] = set()  # addresses whose last event was a free

    def alloc(self, pointer: int, size: int) -> None:
        """``size`` bytes were allocated at ``pointer``; an allocation of nothing is dropped."""
        if size:
            self._dead.discard(pointer)
            self.pointers.append(pointer)
            self.sizes.append(size)

    def free(self, pointer: int, size: int) -> None:
        """The block at ``pointer`` was freed; ``size`` counts if nobody saw it allocated.

        A second word of the same death is dropped: an allocator that knew a block from an earlier
        session tells of it as well as whoever watched the tensor.
        """
        if size and pointer not in self._dead:
            self._dead.add(pointer)
            self.pointers.append(pointer)
            self.sizes.append(-size)

    def enter(self, name: str) -> None:
        """A phase begins."""
        self.marks.append(Mark(len(self.sizes), MarkKind.ENTER, name))

    def leave(self, name: str) -> None:
        """A phase ends."""
        self.marks.append(Mark(len(self.sizes), MarkKind.LEAVE, name))

    def tag(
        self, pointer: int, category: str, label: str = "", module: str = "", line: str = ""
    ) -> None:
        """The block alive at ``pointer`` is of a category; the last word counts."""
        position = len(self.sizes)
        self.marks.append(Mark(position, MarkKind.TAG, category, pointer, label, module, line))

    def touch(self, number: int) -> None:
        """An operator was given tensors: entry ``number`` of a list that its observer keeps."""
        self.marks.append(Mark(len(self.sizes), MarkKind.TOUCH, label=str(number)))

    def scratch(self, operator: str, module: str = "", line: str = "") -> None:
        """What was allocated and freed since the last touch was for an operator itself."""
        started = next((m.position for m in reversed(self.marks) if m.kind is MarkKind.TOUCH), None)
        if started is None:
            return
        open_at: dict[int, int] = {}
        for event in range(started, len(self.sizes)):
            pointer = self.pointers[event]
            if self.sizes[event] > 0:
                open_at[pointer] = event + 1
            elif pointer in open_at:
                label = f"scratch of {operator}"
                position = open_at.pop(pointer)
                made = Mark(position, MarkKind.TAG, "workspace", pointer, label, module, line)
                self.marks.append(made)

    def begin(self) -> None:
        """The measured step begins."""
        self.marks.append(Mark(len(self.sizes), MarkKind.BEGIN))

    def end(self) -> None:
        """The measured step has ended."""
        self.marks.append(Mark(len(self.sizes), MarkKind.END))

    def collect(self) -> None:
        """All repeats are over, and the garbage collector runs."""
        self.marks.append(Mark(len(self.sizes), MarkKind.COLLECT))
