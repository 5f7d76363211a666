"""What an arena is, the check that blocks can live in it, and the planner, held to that check."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainfit.bench.trace import planner
from trainfit.bench.trace.arena import (
    Arena,
    ArenaError,
    Lifetime,
    check_arena,
    lower_bound,
    overlaps,
)
from trainfit.bench.trace.planner import plan_arena


def numbered(*blocks: tuple[int, int, int]) -> list[Lifetime]:
    return [Lifetime(number, *block) for number, block in enumerate(blocks)]


lifetimes = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(0, 12)).map(
        lambda b: (b[0], b[1], b[1] + b[2])
    ),
    max_size=25,
).map(lambda blocks: numbered(*blocks))


def alive_together(first: Lifetime, second: Lifetime) -> bool:
    return any(second.born <= instant < second.died for instant in range(first.born, first.died))


# The planner ------------------------------------------------------------------------------------


@given(lifetimes, st.sampled_from([1, 4, 8, 12, 64]))
def test_every_block_lies_where_it_can_live(blocks: list[Lifetime], alignment: int) -> None:
    arena = plan_arena(blocks, alignment=alignment, tries=20)
    check_arena(blocks, arena)
    assert arena.offsets.keys() == {block.number for block in blocks}
    assert all(offset % alignment == 0 for offset in arena.offsets.values())
    assert arena.bound_bytes == lower_bound(blocks, alignment)
    assert arena.fragmentation_bytes == arena.size_bytes - arena.bound_bytes >= 0


@given(lifetimes, st.randoms(use_true_random=False))
def test_the_order_in_which_blocks_are_given_changes_nothing(
    blocks: list[Lifetime], shuffling: random.Random
) -> None:
    mixed = list(blocks)
    shuffling.shuffle(mixed)
    assert plan_arena(mixed, tries=20) == plan_arena(blocks, tries=20)


@given(lifetimes)
def test_only_the_order_of_instants_matters(blocks: list[Lifetime]) -> None:
    later = [Lifetime(b.number, b.size, b.born + 5, b.died + 5) for b in blocks]
    assert plan_arena(later, tries=20) == plan_arena(blocks, tries=20)


@settings(max_examples=40)
@given(lifetimes.map(lambda blocks: blocks[:5]))
def test_no_order_of_a_few_blocks_is_better(blocks: list[Lifetime]) -> None:
    """Some order in which each block takes the lowest gap gives the smallest arena there is."""
    best = min(in_order(order) for order in itertools.permutations(blocks))
    assert plan_arena(blocks).size_bytes == best


def in_order(blocks: tuple[Lifetime, ...]) -> int:
    """Bytes that blocks need if each is placed as low as the ones before it let it."""
    placed: list[tuple[int, Lifetime]] = []
    for block in blocks:
        if not block.size or block.born == block.died:
            continue
        size = -(-block.size // 4) * 4
        near = [(at, at - -(-b.size // 4) * 4) for at, b in placed if alive_together(b, block)]
        starts = sorted([0, *(end for end, _ in near)])
        placed.append(
            (
                next(
                    start + size
                    for start in starts
                    if all(start >= end or start + size <= begin for end, begin in near)
                ),
                block,
            )
        )
    return max((end for end, _ in placed), default=0)


@pytest.mark.parametrize(
    ("blocks", "size"),
    [
        ([], 0),
        (numbered((10, 0, 1)), 12),
        (numbered((0, 0, 5)), 0),
        (numbered((10, 3, 3)), 0),
        (numbered((10, 3, 3), (0, 0, 9), (8, 0, 9)), 8),
        (numbered((8, 0, 4), (8, 4, 9)), 8),  # one dies at the instant at which another is born
        (numbered((8, 0, 5), (8, 4, 9)), 16),
        (numbered((4, 7, 8), (4, 7, 8), (4, 7, 8)), 12),
        (numbered((10**12, 0, 2), (4, 1, 3)), 10**12 + 4),
        (numbered((8, -3, 0), (4, -1, 2)), 12),
    ],
)
def test_degenerate_blocks(blocks: list[Lifetime], size: int) -> None:
    arena = plan_arena(blocks)
    assert (arena.size_bytes, arena.bound_bytes) == (size, size)
    check_arena(blocks, arena)


# What other planners leave above the bound ------------------------------------------------------

BACKPROP = numbered(
    *[(768, 0, 34), (1536, 1, 27), (384, 2, 20), (192, 3, 7), (192, 4, 13), (4, 5, 39)],
    *[(4, 6, 10), (4, 8, 38), (192, 9, 12), (192, 11, 17), (384, 14, 19), (128, 15, 46)],
    *[(16, 16, 47), (384, 18, 24), (1536, 21, 26), (1024, 22, 44), (32, 23, 45), (1536, 25, 31)],
    *[(768, 28, 33), (2048, 29, 42), (128, 30, 43), (768, 32, 37), (1536, 35, 40), (64, 36, 41)],
)
"""A step of backpropagation of mlp-24-16-32-8-4 on 12 samples."""

SEARCHED = numbered(
    *[(24, 2, 6), (12, 1, 3), (28, 10, 11), (32, 6, 8), (20, 0, 7), (28, 3, 4), (16, 4, 9)],
    *[(28, 10, 11)],
)
"""Eight blocks that no order of the planner's places well."""

OFFSETS = [28, 0, 0, 16, 52, 0, 0, 28]


def test_backpropagation_needs_more_if_the_largest_come_first() -> None:
    largest_first = tuple(sorted(BACKPROP, key=lambda b: (-b.size, b.born - b.died)))
    assert lower_bound(BACKPROP) == 6584
    assert in_order(largest_first) == 6584 + 640
    assert plan_arena(BACKPROP, tries=0).size_bytes == 6584


def test_the_search_reaches_what_no_order_does() -> None:
    assert plan_arena(SEARCHED, tries=0).fragmentation_bytes == 16
    arena = plan_arena(SEARCHED)
    assert (arena.size_bytes, arena.fragmentation_bytes) == (72, 0)
    check_arena(SEARCHED, arena)


def test_offsets_are_the_same_everywhere() -> None:
    """Machines, versions of Python and seeds of hashes do not matter."""
    assert list(plan_arena(SEARCHED).offsets.values()) == OFFSETS


def test_hashes_play_no_part_and_torch_is_not_needed() -> None:
    code = (
        "import sys\n"
        "from trainfit.bench.trace.arena import Lifetime\n"
        "from trainfit.bench.trace.planner import plan_arena\n"
        f"blocks = [Lifetime(*b) for b in {[astuple(b) for b in SEARCHED]}]\n"
        "print(list(plan_arena(blocks).offsets.values()), 'torch' in sys.modules)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == f"{OFFSETS} False"


def test_thousands_of_blocks_are_planned_with_bounded_work() -> None:
    blocks = numbered(*((4 + at * 37 % 900, at, at + 1 + at * 7919 % 13) for at in range(2000)))
    arena = plan_arena(blocks)
    check_arena(blocks, arena)
    assert arena.fragmentation_bytes == 0


@pytest.mark.parametrize("alignment", [0, -4])
def test_an_alignment_is_at_least_a_byte(alignment: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 byte, not {alignment}"):
        plan_arena([], alignment=alignment)


def test_a_number_is_one_block() -> None:
    with pytest.raises(ValueError, match="more than one block has the number 7"):
        plan_arena([Lifetime(3, 4, 0, 1), Lifetime(7, 4, 0, 1), Lifetime(7, 8, 2, 3)])


@pytest.mark.parametrize("values", [(-1, 0, 1), (4, 2, 1)])
def test_no_block_is_smaller_than_nothing_or_dies_before_its_birth(
    values: tuple[int, int, int],
) -> None:
    with pytest.raises(ValueError, match="size >= 0 and born <= died are needed"):
        Lifetime(0, *values)


def test_more_tries_are_not_made_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bool] = []
    pack = planner._Puzzle.pack

    def counted(self: planner._Puzzle, *args: Any) -> Any:
        packed.append(True)
        return pack(self, *args)

    monkeypatch.setattr(planner._Puzzle, "pack", counted)
    plan_arena(SEARCHED, tries=2)
    assert len(packed) == 7 + 2
    packed.clear()
    monkeypatch.setattr(planner, "_LOOKS", 1)
    plan_arena(SEARCHED)
    assert len(packed) == 1


# The check --------------------------------------------------------------------------------------


@given(lifetimes, st.data())
def test_overlaps_are_those_of_every_pair_compared(
    blocks: list[Lifetime], data: st.DataObject
) -> None:
    offsets = {b.number: data.draw(st.integers(0, 150)) for b in blocks}
    arena = Arena(10_000, 0, 1, offsets)

    def share(first: Lifetime, second: Lifetime) -> bool:
        bytes_of = [range(offsets[b.number], offsets[b.number] + b.size) for b in (first, second)]
        return alive_together(first, second) and bool(set(bytes_of[0]) & set(bytes_of[1]))

    assert overlaps(blocks, arena) == [
        (first.number, second.number)
        for first, second in itertools.combinations(blocks, 2)
        if share(first, second)
    ]


@pytest.mark.parametrize(
    ("arena", "message"),
    [
        (Arena(16, 16, 4, {0: 0}), "block 1 has no place in the arena"),
        (Arena(16, 16, 4, {0: 0, 1: 6}), "block 1 begins at byte 6, which is no multiple"),
        (Arena(12, 16, 4, {0: 0, 1: 8}), r"block 1 lies at bytes 8 to 16, outside of .* 12 bytes"),
        (Arena(16, 16, 4, {0: -4, 1: 8}), "block 0 lies at bytes -4 to 4, outside"),
        (Arena(16, 16, 4, {0: 0, 1: 4}), "blocks 0 and 1 share bytes .* both are alive$"),
    ],
)
def test_an_arena_that_cannot_be_is_refused(arena: Arena, message: str) -> None:
    blocks = numbered((8, 0, 2), (8, 1, 3))
    check_arena(blocks, plan_arena(blocks))
    with pytest.raises(ArenaError, match=message):
        check_arena(blocks, arena)


def test_of_many_overlaps_the_first_is_named_and_the_rest_counted() -> None:
    blocks = numbered((8, 0, 2), (8, 1, 3), (8, 1, 3))
    with pytest.raises(ArenaError, match=r"blocks 0 and 1 .*, and so do 2 more pairs"):
        check_arena(blocks, Arena(8, 8, 4, {0: 0, 1: 0, 2: 0}))
