"""The places of blocks in an arena, in as few bytes as can be found quickly.

Whether an arena of a given size exists is NP-complete, and some blocks fit in none as small as the
bound. Those of training steps nearly always do: blocks are placed one after the other, each in a
gap that is free while it lives, in several orders; if none reaches the bound, a short search
changes the order around the blocks that touch the top. The same blocks get the same offsets on
every machine.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trainfit.bench.trace.arena import ALIGNMENT, Arena, Lifetime, aligned

_LOOKS = 12_000_000
"""Neighbours that a plan may look at before it takes what it has: a second or two.

Counted and not timed, so that a slow machine finds the same offsets.
"""

_SEARCHED = 3
"""Orders that the search starts from: the best ones."""


def plan_arena(
    blocks: Iterable[Lifetime], *, alignment: int = ALIGNMENT, tries: int = 300
) -> Arena:
    """Find a place for every block, in an arena that is as small as can be found quickly.

    Args:
        blocks: In any order: it does not matter for the result.
        alignment: Bytes that offsets are multiples of; sizes are rounded up to them.
        tries: Changes of an order to try where no order reaches the bound; fewer are made if there
            are very many blocks.

    Raises:
        ValueError: Two blocks have one number, or the alignment is less than 1.
    """
    if alignment < 1:
        raise ValueError(f"an alignment is at least 1 byte, not {alignment}")
    blocks = list(blocks)
    offsets = {block.number: 0 for block in blocks}
    if len(offsets) < len(blocks):
        twice, _ = Counter(block.number for block in blocks).most_common(1)[0]
        raise ValueError(f"more than one block has the number {twice}")
    puzzle = _Puzzle([each for each in blocks if each.size and each.born < each.died], alignment)
    best = _search(puzzle, tries)
    for block, (start, _) in zip(puzzle.blocks, best.places, strict=True):
        offsets[block.number] = start
    return Arena(best.size, puzzle.bound, alignment, offsets)


@dataclass(slots=True)
class _Packing:
    """Blocks placed in an order; ``places`` are their first byte and the one behind the last."""

    size: int
    order: Sequence[int]
    tight: bool
    places: Sequence[tuple[int, int]]


class _Puzzle:
    """Blocks that need bytes, in order of birth: so those alive with one are a run after it.

    Of those before it there is a list; both together are its neighbours.
    """

    def __init__(self, blocks: Sequence[Lifetime], alignment: int) -> None:
        self.blocks = sorted(blocks, key=lambda b: (b.born, b.died, b.size, b.number))
        self.sizes = [aligned(block.size, alignment) for block in self.blocks]
        births = [block.born for block in self.blocks]
        self.until = [bisect_left(births, block.died) for block in self.blocks]
        self.before: list[list[int]] = []  # alive when a block is born
        self.levels: list[int] = []  # bytes alive then, its own included
        alive: list[int] = []
        for index, size in enumerate(self.sizes):
            alive = [other for other in alive if self.until[other] > index]
            self.before.append(alive)
            self.levels.append(size + sum(map(self.sizes.__getitem__, alive)))
            alive = [*alive, index]
        self.bound = max(self.levels, default=0)
        self.looks = len(self.blocks) + 2 * sum(map(len, self.before))  # of one packing

    def orders(self) -> Iterable[tuple[list[int], bool]]:
        """Orders to place blocks in, and whether each takes the smallest gap, not the lowest.

        Pressure is the largest level while a block is alive: what lives at the peak has no room to
        give, so it comes first. Chosen from 112 orders: these leave 1 of 819 plans of traced steps
        above the bound, and 38 of 400 of random blocks.
        """
        pressure = [max(self.levels[at:end]) for at, end in enumerate(self.until)]
        died = [block.died for block in self.blocks]
        lives = [block.died - block.born for block in self.blocks]
        places = range(len(self.blocks))
        yield sorted(places, key=lambda i: (-pressure[i], -self.sizes[i])), True
        yield sorted(places, key=lambda i: (-self.sizes[i], i)), False
        yield sorted(places, key=lambda i: (-pressure[i], died[i])), False
        yield sorted(places, key=lambda i: (-self.sizes[i], -died[i])), False
        yield sorted(places, key=lambda i: (-pressure[i], -died[i])), True
        yield sorted(places, key=lambda i: (-pressure[i], i)), True
        yield sorted(places, key=lambda i: (-lives[i], -self.sizes[i])), False

    def pack(self, order: Sequence[int], tight: bool, most: int | None = None) -> _Packing | None:
        """Place blocks in an order; None as soon as more than ``most`` bytes are needed."""
        places: list[tuple[int, int] | None] = [None] * len(order)
        top = 0
        for index in order:
            size = self.sizes[index]
            around = places[index + 1 : self.until[index]]
            around += map(places.__getitem__, self.before[index])
            start = _gap(sorted(filter(None, around)), size, tight)
            places[index] = (start, start + size)
            top = max(top, start + size)
            if most is not None and top > most:
                return None
        return _Packing(top, order, tight, [place for place in places if place])


def _gap(taken: Iterable[tuple[int, int]], size: int, tight: bool) -> int:
    """Where ``size`` bytes fit: the lowest gap, or the smallest; at the end if there is none."""
    free = 0
    found, smallest = -1, 0
    for start, end in taken:
        gap = start - free
        if gap >= size and (found < 0 or gap < smallest):
            if not tight:
                return free
            found, smallest = free, gap
        free = max(free, end)
    return free if found < 0 else found


def _search(puzzle: _Puzzle, tries: int) -> _Packing:
    """The best packing: of the orders, then of changes of the best of them."""
    packings: list[_Packing] = []
    for order, tight in puzzle.orders():
        packing = puzzle.pack(order, tight)
        assert packing is not None
        if packing.size == puzzle.bound:
            return packing
        packings.append(packing)
        if len(packings) * puzzle.looks > _LOOKS:
            break
    packings = sorted(packings, key=lambda each: each.size)[:_SEARCHED]
    draw = random.Random(0).random  # the same numbers in every Python  # noqa: S311
    for turn in range(min(tries, _LOOKS // puzzle.looks)):
        old = packings[turn % len(packings)]
        new = puzzle.pack(_changed(puzzle, old, draw), old.tight, old.size)
        if new is not None:
            packings[turn % len(packings)] = new
            if new.size == puzzle.bound:
                return new
    return min(packings, key=lambda each: each.size)


def _changed(puzzle: _Puzzle, packing: _Packing, draw: Callable[[], float]) -> list[int]:
    """The order with one block moved.

    One that touches the top comes earlier, or one that lives with it and came before it goes
    anywhere.
    """
    order = list(packing.order)
    touching = [at for at, index in enumerate(order) if packing.places[index][1] == packing.size]
    at = touching[int(draw() * len(touching))]
    if draw() < 0.5:
        order.insert(int(draw() * at), order.pop(at))
        return order
    block = puzzle.blocks[order[at]]
    around = [
        place
        for place, index in enumerate(order[: at + 1])
        if puzzle.blocks[index].born < block.died and block.born < puzzle.blocks[index].died
    ]
    moved = order.pop(around[int(draw() * len(around))])
    order.insert(int(draw() * (len(order) + 1)), moved)
    return order
