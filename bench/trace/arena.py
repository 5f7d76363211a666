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

from bisect import bisect_left
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

    Walks through births and deaths, with the blocks that are alive sorted by offset: as long as
    none overlap, only the one below a new block and those that begin in it need a look.

    Returns:
        Pairs, the smaller number first, in ascending order.
    """
    found: list[tuple[int, int]] = []
    alive: list[tuple[int, int, int]] = []  # first byte, the one behind the last, number
    needed = [block for block in blocks if block.size and block.born < block.died]
    deaths = [(block.died, False, block) for block in needed]
    births = [(block.born, True, block) for block in needed]
    for _, is_birth, block in sorted([*deaths, *births], key=lambda each: each[:2]):
        start = arena.offsets[block.number]
        held = (start, start + block.size, block.number)
        at = bisect_left(alive, held)
        if not is_birth:
            del alive[at]
            continue
        below = alive[:at] if found else alive[max(at - 1, 0) : at]
        above = alive[at : bisect_left(alive, (start + block.size,))]
        found += [
            (min(block.number, other), max(block.number, other))
            for _, end, other in [*below, *above]
            if end > start
        ]
        alive.insert(at, held)
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
