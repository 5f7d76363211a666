"""A block of a device view."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that straight-line C needs for a while.

    Attributes:
        number: Its place in the list of blocks.
        bytes: Its size.
        born: The first instant at which it is needed, as the number of an operator.
        died: The first at which it is no longer.
        category: What it is for, as the trace says of what is stored first in it.
        label: Type and shape of that, or what it was tagged as.
        phases: Innermost phases of the operators that write to it, in order.
    """

    number: int
    bytes: int
    born: int
    died: int
    category: str
    label: str
    phases: tuple[str, ...]
