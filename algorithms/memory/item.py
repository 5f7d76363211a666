"""One tensor of a closed form: its size in bytes, and its lifetime."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from trainfit.algorithms.phases import Category


@dataclass(eq=False)
class Item:
    """One tensor of the closed form.

    Attributes:
        name: Its name in the paper or the code.
        shape: Elements per dimension.
        bits: Bits that carry information in one element (1 for a mask or a binary weight).
        stored_bits: Bits one element takes in memory here (8 for a bool). Rows of the last
            dimension are padded to whole bytes, as packed bits are.
        category: What the bytes are for.
        essential: The algorithm requires it; otherwise only this implementation does.
        born, died: Instants, counted in births and deaths since the step began. ``died`` is -1
            while alive. Static items live from before the first instant to after the last.
        borders: The plan's phase borders: instant, and the sub-phase that begins there.
        since: The first relevant border, that of the phase it is born in.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    stored_bits: int
    category: Category
    essential: bool
    born: int = 0
    died: int = -1
    borders: list[tuple[int, str]] = field(default_factory=list, repr=False)
    since: int = 0

    @property
    def phases(self) -> list[str]:
        """The sub-phases in which it lives, in order."""
        seen = (
            name
            for instant, name in self.borders[self.since :]
            if self.died < 0 or instant <= self.died
        )
        return [name for name, _ in groupby(seen)]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @cached_property
    def stored_bytes(self) -> int:
        """Bytes the tensor takes in memory here."""
        if not self.shape:
            return -(-self.stored_bits // 8)
        rows = self.elements // self.shape[-1] if self.shape[-1] else 0
        return rows * -(-self.shape[-1] * self.stored_bits // 8)

    @cached_property
    def logical_bytes(self) -> int:
        """Bytes the tensor would take with no padding and no wasted bit."""
        return -(-self.elements * self.bits // 8)
