"""Where blocks lie in one piece of memory, if all their births and deaths are known beforehand.

::

    bytes
      ^   +-----------+ +-------+        blocks that are never alive together share bytes;
      |   | 2         | | 4     |        the arena is as large as the highest end
      |   +-----+-----+-+---+---+
      |   | 1   | 3         |            lower bound: the most bytes alive at one instant
      +---+-----+-----------+-----> instants

:mod:`trainfit.bench.trace.planner` finds the places; here is what an arena is, and a check that
knows nothing of how the places were found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

ALIGNMENT = 4
"""Bytes that offsets and sizes are multiples of, if nothing else is asked for."""


class ArenaError(RuntimeError):
    """An arena in which blocks do not lie as they have to."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Bytes that are alive from one instant until, and without, another.

    Attributes:
        number: What the block is called.
        size: Bytes.
        born: The first instant at which it is alive.
        died: The first at which it is no longer; one that dies where it is born needs no bytes.

    Raises:
        ValueError: It has less than no bytes, or dies before it is born.
    """

    number: int
    size: int
    born: int
    died: int

    def __post_init__(self) -> None:
        if self.size < 0 or self.died < self.born:
            raise ValueError(f"no block can be so: {self}; size >= 0 and born <= died are needed")


@dataclass(frozen=True)
class Arena:
    """One piece of memory with a place for every block.

    Attributes:
        size_bytes: Its size.
        bound_bytes: No arena for these blocks can be smaller: see :func:`lower_bound`.
        alignment: Bytes that every offset is a multiple of.
        offsets: First byte by number of block; 0 for a block that needs no bytes.
    """

    size_bytes: int
    bound_bytes: int
    alignment: int
    offsets: Mapping[int, int] = field(repr=False)

    @property
    def fragmentation_bytes(self) -> int:
        """Bytes that are only there because others are in the way; 0 if the bound is reached."""
        return self.size_bytes - self.bound_bytes


def lower_bound(blocks: Iterable[Lifetime], alignment: int = ALIGNMENT) -> int:
    """The largest sum of sizes alive at one instant, each a multiple of ``alignment``, in bytes."""
    change: Counter[int] = Counter()
    for block in blocks:
        change[block.born] += aligned(block.size, alignment)
        change[block.died] -= aligned(block.size, alignment)
    level = most = 0
    for instant in sorted(change):
        level += change[instant]
        most = max(most, level)
    return most


def aligned(size: int, alignment: int) -> int:
    """The smallest multiple of ``alignment`` that is not below ``size``."""
    return -(-size // alignment) * alignment


def overlaps(blocks: Collection[Lifetime], arena: Arena) -> list[tuple[int, int]]:
    """Numbers of blocks that share bytes while both are alive; none in an arena that is right.

    Walks from the first byte to the last: of blocks that share one, lifetimes are compared.

    Returns:
        Pairs, the smaller number first, in ascending order.
    """
    found: list[tuple[int, int]] = []
    here: list[tuple[int, Lifetime]] = []  # blocks that hold the byte, each with its end
    needed = [block for block in blocks if block.size and block.born < block.died]
    for block in sorted(needed, key=lambda each: arena.offsets[each.number]):
        start, born, died = arena.offsets[block.number], block.born, block.died
        here = [(end, other) for end, other in here if end > start]
        found += [
            (min(block.number, other.number), max(block.number, other.number))
            for _, other in here
            if other.born < died and born < other.died
        ]
        here.append((start + block.size, block))
    return sorted(found)


def check_arena(blocks: Collection[Lifetime], arena: Arena) -> None:
    """Make sure that blocks can live in an arena.

    Raises:
        ArenaError: A block has no place, begins at an offset that is not aligned or reaches out of
            the arena; or two that are alive together share bytes.
    """
    for block in blocks:
        if block.number not in arena.offsets:
            raise ArenaError(f"block {block.number} has no place in the arena")
        start = arena.offsets[block.number]
        if start % arena.alignment:
            raise ArenaError(
                f"block {block.number} begins at byte {start}, which is no multiple of the"
                f" alignment, {arena.alignment}"
            )
        needed = block.size if block.born < block.died else 0
        if start < 0 or start + needed > arena.size_bytes:
            raise ArenaError(
                f"block {block.number} lies at bytes {start} to {start + needed}, outside of the"
                f" arena of {arena.size_bytes} bytes"
            )
    pairs = overlaps(blocks, arena)
    if pairs:
        first, second = pairs[0]
        more = f", and so do {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
        raise ArenaError(
            f"blocks {first} and {second} share bytes of the arena while both are alive{more}"
        )
