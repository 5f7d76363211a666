"""Every statistic of the claims ledger by hand, and what counts as holding."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainfit.bench.claims.schema import Check, Selector
from trainfit.bench.claims.select import Interval, Setting, Side
from trainfit.bench.claims.statistics import (
    UNITS,
    Computed,
    Outcome,
    change_percent,
    compute,
    hold,
    lowest,
    near_best,
    pairs_in_order,
    passes_ratio,
    percent_of,
    points,
    ratio,
    slope,
)
from trainfit.bench.claims.words import Statistic

BACKPROP, OURS = Selector(algorithm=["backprop"]), Selector(algorithm=["ff_int8"])


def check(statistic: str, expect: str = "more", **values: Any) -> Check:
    given = {"what": "it", "tolerance": 0.0, "left": OURS, "right": BACKPROP}
    return Check(statistic=statistic, expect=expect, **given | values)


def exactly(value: float) -> Interval:
    return value, value


def setting(*values: float, label: str = "a", **changes: Any) -> Setting:
    by_seed = {seed: exactly(value) for seed, value in enumerate(values)}
    return Setting(label, 1, by_seed, **changes)


def side(*values: float, **changes: Any) -> Side:
    return Side(OURS, [setting(*values, **changes)])


# --- of two sides


def test_two_sides_by_hand() -> None:
    assert ratio(exactly(3), exactly(4)) == (0.75, 0.75)
    assert percent_of(exactly(3), exactly(4)) == (75, 75)
    assert change_percent(exactly(3), exactly(4)) == (-25, -25)
    assert points(exactly(0.75), exactly(0.5)) == (25, 25)


def test_an_interval_takes_the_worst_of_both_ends() -> None:
    assert ratio((1, 2), (4, 8)) == (1 / 8, 2 / 4)
    assert change_percent((1, 2), (4, 8)) == (-87.5, -50)
    assert points((0.5, 0.75), (0.25, 0.5)) == (0, 50)
    assert ratio((1, 2), (0, 8)) == (1 / 8, math.inf)


# --- of several steps


def test_the_lowest_difference_is_the_largest_loss() -> None:
    assert lowest([exactly(-1), exactly(-20), exactly(-30), exactly(-29)]) == (-30, -30)


def test_the_slope_is_that_of_least_squares() -> None:
    published = [-0.8, -19.6, -32.1, -29.1]

    assert slope([exactly(each) for each in published])[0] == pytest.approx(-9.74)
    assert slope([exactly(5 - 2 * step) for step in range(3)]) == (-2, -2)


def test_the_slope_of_intervals_holds_that_of_every_point_in_them() -> None:
    low, high = slope([(-1, 1), (-5, 5), (9, 11)])

    assert (low, high) == (4, 6)


# --- of an order


def test_pairs_in_order() -> None:
    rising = [exactly(each) for each in (1, 2, 3, 4)]

    assert pairs_in_order(rising) == (1, 1)
    assert pairs_in_order(rising[::-1]) == (0, 0)
    assert pairs_in_order([exactly(1), exactly(3), exactly(2)]) == (2 / 3, 2 / 3)
    assert pairs_in_order([exactly(1), exactly(1)]) == (0, 0)


def test_intervals_that_overlap_may_be_in_order() -> None:
    assert pairs_in_order([(1, 3), (2, 4)]) == (0, 1)


# --- of curves and grids


def test_passes_to_what_both_reach_in_the_end() -> None:
    left = {5: 0.90, 10: 0.95, 15: 0.97}
    right = {5: 0.80, 10: 0.90, 15: 0.93}

    assert passes_ratio(left, right) == (10 / 15, 10 / 15)
    assert passes_ratio(right, left) == (15 / 10, 15 / 10)


def test_a_dip_at_the_end_counts_as_what_is_reached() -> None:
    assert passes_ratio({1: 0.9, 2: 0.8}, {1: 0.7, 2: 0.9}) == (0.5, 0.5)


def test_the_share_of_a_grid_near_its_best() -> None:
    grid = [setting(each) for each in (0.90, 0.885, 0.88, 0.87, 0.1)]

    assert near_best(grid, 2.0) == (3 / 5, 3 / 5)
    assert near_best(grid, 3.5) == (4 / 5, 4 / 5)


def test_a_grid_is_compared_as_a_whole() -> None:
    sides = [
        Side(OURS, [setting(0.9), setting(0.89)]),
        Side(BACKPROP, [setting(0.9), setting(0.5), setting(0.4), setting(0.89)]),
    ]

    assert compute(check("near_best_points"), sides).value == (50, 50)


# --- what is computed from seeds


def test_seeds_of_both_sides_are_paired() -> None:
    found = compute(check("points"), [side(0.9, 0.8), side(0.7, 0.5)])

    assert found.value[0] == pytest.approx(25)
    assert found.deviation == pytest.approx(7.0711, abs=1e-4), "of 20 and 30"


def test_seeds_that_differ_give_no_deviation() -> None:
    one_seed = compute(check("points"), [side(0.9), side(0.7)])
    others = Side(BACKPROP, [Setting("b", 1, {7: exactly(0.7), 8: exactly(0.5)})])

    assert one_seed.deviation is None
    assert compute(check("points"), [side(0.9, 0.8), others]).deviation is None


def test_curves_are_averaged_over_seeds() -> None:
    left = side(0.9, 0.9, curves={0: {1: 0.5, 2: 0.9}, 1: {1: 0.9, 2: 0.9}})
    right = side(0.7, curves={0: {1: 0.6, 2: 0.7}})

    assert compute(check("passes_ratio"), [left, right]).value == (0.5, 0.5)


def test_every_statistic_has_a_unit() -> None:
    assert set(UNITS) == set(Statistic)


# --- what counts as holding


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (exactly(-27), Outcome.HOLDS),
        (exactly(-22), Outcome.HOLDS),
        (exactly(-21.9), Outcome.FAILS),
        (exactly(-33), Outcome.FAILS),
        ((-30, -25), Outcome.HOLDS),
        ((-30, -20), Outcome.UNDECIDED),
        ((-20, 20), Outcome.FAILS),
    ],
)
def test_near(value: Interval, outcome: Outcome) -> None:
    asked = check("change_percent", "near", quantity="ram_bytes", published=-27.0, tolerance=5.0)

    assert hold(asked, Computed(value))[0] is outcome


def test_near_a_range() -> None:
    asked = check("ratio", "near", quantity="ram_bytes", published=[0.91, 1.06], tolerance=0.02)

    outcomes = [hold(asked, Computed(exactly(each)))[0] for each in (0.88, 0.9, 1.0, 1.07, 1.09)]
    assert outcomes == [
        Outcome.FAILS,
        Outcome.HOLDS,
        Outcome.HOLDS,
        Outcome.HOLDS,
        Outcome.FAILS,
    ]


def test_at_least_and_at_most() -> None:
    least = check("ratio", "at_least", quantity="ram_bytes", published=10.0, tolerance=1.0)
    most = check("ratio", "at_most", quantity="ram_bytes", published=10.0, tolerance=1.0)

    assert [hold(least, Computed(exactly(each)))[0] for each in (8, 9, 99)] == [
        Outcome.FAILS,
        Outcome.HOLDS,
        Outcome.HOLDS,
    ]
    assert [hold(most, Computed(exactly(each)))[0] for each in (1, 11, 12)] == [
        Outcome.HOLDS,
        Outcome.HOLDS,
        Outcome.FAILS,
    ]


def test_a_difference_within_the_tolerance_decides_nothing() -> None:
    more = check("points", "more", tolerance=0.3)
    less = check("points", "less", tolerance=0.3)

    assert [hold(more, Computed(exactly(each)))[0] for each in (0.4, 0.3, -0.3, -0.4)] == [
        Outcome.HOLDS,
        Outcome.UNDECIDED,
        Outcome.UNDECIDED,
        Outcome.FAILS,
    ]
    assert [hold(less, Computed(exactly(each)))[0] for each in (0.4, 0.3, -0.3, -0.4)] == [
        Outcome.FAILS,
        Outcome.UNDECIDED,
        Outcome.UNDECIDED,
        Outcome.HOLDS,
    ]
    assert "within 0.3" in (hold(more, Computed(exactly(0.1)))[1] or "")


def test_more_than_nothing_is_more_than_one_for_a_ratio() -> None:
    more = check("ratio", "more", quantity="ram_bytes", tolerance=0.05)
    own = check("ratio", "more", quantity="ram_bytes", tolerance=0.05, than=2.0)

    assert hold(more, Computed(exactly(1.5)))[0] is Outcome.HOLDS
    assert hold(own, Computed(exactly(1.5)))[0] is Outcome.FAILS


def test_no_difference_at_all_is_not_less() -> None:
    assert hold(check("points", "less"), Computed(exactly(0)))[0] is Outcome.UNDECIDED


def test_an_interval_has_to_lie_on_one_side() -> None:
    less = check("change_percent", "less", quantity="modelled.board.joules")

    assert hold(less, Computed((-50, -1)))[0] is Outcome.HOLDS
    assert hold(less, Computed((1, 50)))[0] is Outcome.FAILS
    assert hold(less, Computed((-50, 50))) == (
        Outcome.UNDECIDED,
        "the interval does not lie on one side",
    )
    assert hold(less, Computed((-50, math.inf)))[0] is Outcome.UNDECIDED


def test_the_last_bit_of_a_difference_decides_nothing() -> None:
    value = points(exactly(0.9736), exactly(0.9706))

    assert value[0] > 0.3
    assert hold(check("points", "more", tolerance=0.3), Computed(value))[0] is Outcome.UNDECIDED


def test_seeds_that_differ_too_much_decide_nothing() -> None:
    less = check("points", "less", tolerance=0.5)

    assert hold(less, Computed(exactly(-3), deviation=1.0, seeds=4))[0] is Outcome.HOLDS
    assert hold(less, Computed(exactly(-3), deviation=3.0, seeds=4)) == (
        Outcome.UNDECIDED,
        "4 seeds differ too much to decide",
    )
    assert hold(less, Computed(exactly(-3), deviation=3.0, seeds=16))[0] is Outcome.HOLDS
    assert hold(less, Computed(exactly(3), deviation=0.1, seeds=2))[0] is Outcome.FAILS
