"""The closed form as arithmetic on itemised lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainfit.algorithms.memory.operations import Call, Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.phases import Category


def item(shape, bits=32, stored_bits=None):
    return Item("t", shape, bits, stored_bits or bits, Category.ACTIVATIONS, essential=True)


@pytest.mark.parametrize(
    ("shape", "bits", "stored_bits", "stored", "logical"),
    [
        ((10, 20), 32, None, 800, 800),
        ((10, 20), 1, 8, 200, 25),  # a bool mask
        ((10, 20), 1, 1, 30, 25),  # packed rows of 3 bytes
        ((3, 10, 20), 1, 1, 90, 75),
        ((10,), 64, None, 80, 80),
        ((), 32, None, 4, 4),
        ((), 1, None, 1, 1),
        ((0, 5), 32, None, 0, 0),
        ((5, 0), 32, None, 0, 0),
    ],
)
def test_stored_and_logical_bytes(shape, bits, stored_bits, stored, logical):
    tensor = item(shape, bits, stored_bits)
    assert (tensor.stored_bytes, tensor.logical_bytes) == (stored, logical)


def test_closed_form_counts_all_and_the_lower_bound_what_is_essential():
    plan = MemoryPlan()
    with plan.phase("forward"):
        mask = plan.alloc("mask", (100,), Category.ACTIVATIONS, bits=1, stored_bits=8)
        plan.workspace("scratch", (1000,))
    with plan.phase("update"):
        plan.alloc("g", (10,), Category.GRADIENTS)
        plan.free(mask)
    assert plan.closed_form_bytes == 100 + 4000
    assert plan.peak_phase == "forward"
    assert plan.lower_bound_bytes == 13 + 40
    assert plan.phases["update"].peak_bytes == 140
    assert plan.phases["forward"].categories == {
        Category.ACTIVATIONS: 100,
        Category.WORKSPACE: 4000,
    }
    assert [i.name for i in plan.peak_items()] == ["scratch", "mask"]


def test_items_know_the_phases_they_live_in():
    plan = MemoryPlan()
    with plan.phase("forward.positive"):
        h = plan.alloc("h", (10,), Category.ACTIVATIONS)
        gone = plan.alloc("gone", (10,), Category.ACTIVATIONS)
        plan.free(gone)
    with plan.phase("gradient"):
        pass
    assert h.phases == ["forward.positive", "gradient"]
    assert gone.phases == ["forward.positive"]
    assert set(plan.phases) == {"forward", "forward.positive", "gradient"}
    assert plan.phases["gradient"].peak_bytes == 40


def test_what_takes_over_is_counted_once():
    plan = MemoryPlan()
    old = plan.alloc("dh", (10,), Category.GRADIENTS)
    new = plan.alloc("dz", (10,), Category.GRADIENTS, essential=False)
    plan.hand_over(old, new)
    assert plan.closed_form_bytes == 80
    assert plan.lower_bound_bytes == 40
    assert new.essential
    with pytest.raises(ValueError, match="essential already"):
        plan.hand_over(new, plan.alloc("e", (1,), Category.GRADIENTS))


def test_static_and_storage_are_apart():
    plan = MemoryPlan()
    plan.hold("w", (10, 10), Category.PARAMETERS)
    plan.hold("bits", (2, 9), Category.PARAMETERS, bits=1)
    plan.hold("latent", (10, 10), Category.PARAMETERS, storage=True)
    assert (plan.static_bytes, plan.storage_bytes, plan.closed_form_bytes) == (404, 400, 0)


def test_scalars_are_workspace_whatever_they_are_for():
    plan = MemoryPlan()
    assert plan.alloc("loss", (), Category.ACTIVATIONS).category is Category.WORKSPACE
    with plan.number():
        assert plan.closed_form_bytes == 16
    assert plan.closed_form_bytes == 16


def test_dying_twice_is_an_error():
    plan = MemoryPlan()
    h = plan.alloc("h", (10,), Category.ACTIVATIONS)
    plan.free(h)
    with pytest.raises(ValueError, match="h is freed but not alive"):
        plan.free(h)


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=40))
def test_the_lower_bound_never_exceeds_the_closed_form(steps):
    plan, live = MemoryPlan(), []
    for extent, essential, die in steps:
        live.append(plan.alloc("t", (extent,), Category.ACTIVATIONS, essential=essential))
        if die:
            plan.free(live.pop(extent % len(live)))
    assert plan.lower_bound_bytes <= plan.closed_form_bytes
    assert sum(i.stored_bytes for i in plan.peak_items()) == plan.closed_form_bytes


def walk(plan, rounds):
    """A step with a loop over tiles in a loop over larger ones."""
    with plan.phase("forward"):
        z = plan.alloc("z", (100, 7), Category.ACTIVATIONS)
        for rows in rounds(plan, 100, 30):
            with plan.phase("gradient"):
                tile = plan.alloc("tile", (rows, 7), Category.GRADIENTS)
                plan.product(rows, 5, 7)
                for some in rounds(plan, rows, 4):
                    plan.workspace("part", (some, 9), bits=1)
                    plan.each(Kind.ADD, some * 9)
            with plan.phase("update.rows"):
                plan.workspace("moved", (rows,))
                plan.free(tile)
        plan.free(z)
    return plan


def each_tile(_, extent, size):
    return [min(size, extent - start) for start in range(0, extent, size)]


def test_tiles_of_one_size_are_walked_through_once_and_counted_as_often_as_there_are():
    once, loop = walk(MemoryPlan(), MemoryPlan.tiles), walk(MemoryPlan(), each_tile)
    for figure in ("phases", "closed_form_bytes", "lower_bound_bytes", "peak_phase"):
        assert getattr(once, figure) == getattr(loop, figure)
    assert once.operations.phases == loop.operations.phases
    assert once.operations.phases["gradient"].calls[Call.ELEMENTWISE] == 3 * 8 + 3
    assert [i.name for i in once.peak_items()] == [i.name for i in loop.peak_items()]
    assert sum(i.name == "tile" for i in once.items) == 2
    assert sum(i.name == "tile" for i in loop.items) == 4


@pytest.mark.parametrize(
    ("extent", "size", "tiles"),
    [(0, 4, []), (3, 4, [3]), (4, 4, [4]), (8, 4, [4]), (9, 4, [4, 1])],
)
def test_tiles_cover_their_extent(extent, size, tiles):
    assert list(MemoryPlan().tiles(extent, size)) == tiles


def test_a_tile_that_leaves_something_alive_cannot_stand_for_others():
    plan = MemoryPlan()
    rounds = plan.tiles(8, 4)
    plan.alloc("kept", (next(rounds),), Category.ACTIVATIONS)
    with pytest.raises(ValueError, match="a tile found 0 tensors alive and leaves 1"):
        next(rounds)


def test_a_phase_that_is_returned_to_is_noted_once_something_happens_in_it():
    plan = MemoryPlan()
    with plan.phase("forward"):
        with plan.phase("forward.inner"):
            early = plan.alloc("early", (10,), Category.ACTIVATIONS)
        gone = plan.alloc("gone", (10,), Category.ACTIVATIONS)
        plan.free(gone)
        with plan.phase("gradient"):
            pass
    outside = plan.alloc("outside", (10,), Category.ACTIVATIONS)
    assert early.phases == ["forward.inner", "forward", "gradient"]
    assert gone.phases == ["forward"]
    assert outside.phases == []
    with plan.phase("gradient"):
        assert early.phases == ["forward.inner", "forward", "gradient"]
        assert outside.phases == ["gradient"]
