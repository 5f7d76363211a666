"""Every statistic of the claims ledger by hand, and what counts as holding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from trainfit.bench.claims.ff_int8 import lowest, near_best, pairs_in_order, passes_ratio, slope
from trainfit.bench.claims.statistics import (
    CHANGE_APART,
    CHANGE_PERCENT,
    POINTS,
    RATIO,
    Computed,
    Expected,
    Outcome,
    Statistic,
    at_least,
    at_most,
    by_seed,
    change_apart,
    change_percent,
    decide,
    less,
    more,
    near,
    of_means,
    percent_of,
    points,
    ratio,
    student,
)
from trainfit.bench.claims.workloads import Interval, Operand, Setting, rule


def exactly(value: float) -> Interval:
    return value, value


def setting(*values: float | Interval, seeds: Sequence[int] = (0, 1, 2, 3)) -> Setting:
    """One value per seed."""
    ends = [each if isinstance(each, tuple) else exactly(each) for each in values]
    rows = [
        {"seed": seed, "low": low, "high": high}
        for seed, (low, high) in zip(seeds, ends, strict=False)
    ]
    return Setting("a", 1, pd.DataFrame(rows))


def side(*values: float | Interval, **changes: Any) -> Operand:
    return Operand(rule("ff_int8"), [setting(*values, **changes)])


def curves(*by_pass: dict[int, float]) -> Operand:
    """One curve per seed."""
    rows = [
        {"seed": seed, "pass": number, "low": value, "high": value}
        for seed, curve in enumerate(by_pass)
        for number, value in curve.items()
    ]
    return Operand(rule("ff_int8"), [Setting("a", 1, pd.DataFrame(rows))])


def outcome(expected: Expected, statistic: Statistic, value: float | Interval) -> Outcome:
    ends = value if isinstance(value, tuple) else exactly(value)
    return decide(expected, statistic, Computed(ends))[0]


# --- of two sides


def test_two_sides_by_hand() -> None:
    assert ratio(3, 4) == 0.75
    assert percent_of(3, 4) == 75
    assert change_percent(3, 4) == -25
    assert points(0.75, 0.5) == 25


def test_a_difference_of_differences_by_hand() -> None:
    assert change_apart(0.5, 0.75, 0.875, 1.0) == -12.5, "25 points lost beside 12.5"
    assert change_apart(0.875, 1.0, 0.5, 0.75) == 12.5
    assert change_apart(0.25, 0.5, 0.5, 0.75) == 0


def test_each_seed_has_a_difference_of_differences_of_its_own() -> None:
    left = side(0.5, 0.25), side(0.75, 1.0, seeds=(0, 1))
    right = side(0.5, 0.75, seeds=(1, 0)), side(0.75, 0.75)

    found = CHANGE_APART.compute([*left, *right])

    assert found.value[0] == pytest.approx(-37.5), "25 points lost beside 0, and 75 beside 25"
    assert found.deviation == pytest.approx(25 / math.sqrt(2))
    assert found.seeds == 2


def test_an_interval_takes_the_worst_of_both_ends() -> None:
    def ends(statistic: Statistic, left: Interval, right: Interval) -> Interval:
        return statistic.compute([side(left), side(right)]).value

    assert ends(RATIO, (1, 2), (4, 8)) == (1 / 8, 2 / 4)
    assert ends(CHANGE_PERCENT, (1, 2), (4, 8)) == (-87.5, -50)
    assert ends(POINTS, (0.5, 0.75), (0.25, 0.5)) == (0, 50)
    assert ends(RATIO, (1, 2), (0, 8)) == (1 / 8, math.inf)


# --- of several steps


def steps(*gaps: float) -> list[float]:
    """Left and right of each step, that far apart in points."""
    return [value for gap in gaps for value in (gap / 100, 0.0)]


def test_the_lowest_difference_is_the_largest_loss() -> None:
    assert lowest(*steps(-1, -20, -30, -29)) == -30


def test_the_slope_is_that_of_least_squares() -> None:
    assert slope(*steps(-0.8, -19.6, -32.1, -29.1)) == pytest.approx(-9.74)
    assert slope(*steps(5, 3, 1)) == pytest.approx(-2)


def test_the_slope_of_intervals_holds_that_of_every_point_in_them() -> None:
    sides = [
        side((-0.01, 0.01)),
        side(0),
        side((-0.05, 0.05)),
        side(0),
        side((0.09, 0.11)),
        side(0),
    ]

    assert of_means(slope)(sides).value == pytest.approx((4, 6))


# --- of an order


def test_pairs_in_order() -> None:
    assert pairs_in_order(1, 2, 3, 4) == 1
    assert pairs_in_order(4, 3, 2, 1) == 0
    assert pairs_in_order(1, 3, 2) == 2 / 3
    assert pairs_in_order(1, 1) == 0


def test_intervals_that_overlap_may_be_in_order() -> None:
    assert of_means(pairs_in_order)([side((1, 3)), side((2, 4))]).value == (0, 1)


# --- of curves and grids


def test_passes_to_what_both_reach_in_the_end() -> None:
    left = curves({5: 0.90, 10: 0.95, 15: 0.97})
    right = curves({5: 0.80, 10: 0.90, 15: 0.93})

    assert passes_ratio([left, right]) == 10 / 15
    assert passes_ratio([right, left]) == 15 / 10


def test_a_dip_at_the_end_counts_as_what_is_reached() -> None:
    sides = [curves({1: 0.9, 2: 0.8}), curves({1: 0.7, 2: 0.9})]

    assert passes_ratio(sides) == 0.5


def test_curves_are_averaged_over_seeds_at_the_passes_that_all_have() -> None:
    left = curves({1: 0.5, 2: 0.9, 3: 0.1}, {1: 0.9, 2: 0.9})

    assert left.only.curve == pytest.approx({1: 0.7, 2: 0.9})
    assert passes_ratio([left, curves({1: 0.6, 2: 0.7})]) == 0.5
    assert left.only.by_seed == {0: exactly(0.1), 1: exactly(0.9)}, "each at its last pass"


def test_the_share_of_a_grid_near_its_best() -> None:
    def grid(*values: float) -> Operand:
        return Operand(rule("ff_int8"), [setting(each) for each in values])

    three_of_five = grid(0.90, 0.885, 0.88, 0.87, 0.1)
    assert near_best([three_of_five, grid(0.9, 0.1)]) == pytest.approx(10)
    assert near_best([grid(0.9, 0.89), grid(0.9, 0.5, 0.4, 0.89)]) == 50


# --- what is computed from seeds


def test_seeds_of_both_sides_are_paired() -> None:
    found = POINTS.compute([side(0.9, 0.8), side(0.5, 0.7, seeds=(1, 0))])

    assert found.value[0] == pytest.approx(25)
    assert found.deviation == pytest.approx(7.0711, abs=1e-4), "of 20 and 30"
    assert found.seeds == 2


def test_seeds_that_differ_give_no_deviation() -> None:
    others = side(0.7, 0.5, seeds=(7, 8))

    assert POINTS.compute([side(0.9), side(0.7)]).deviation is None
    assert POINTS.compute([side(0.9, 0.8), others]).deviation is None


def test_intervals_have_no_deviation_over_seeds() -> None:
    found = RATIO.compute([side((1, 2), (1, 2)), side(1, 1)])

    assert (found.value, found.deviation) == ((1, 2), None)


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
    assert decide(near(-27.0, give=5.0), CHANGE_PERCENT, Computed(value))[0] is outcome


def test_near_a_range() -> None:
    allowed = near((0.91, 1.06), give=0.02)

    outcomes = [outcome(allowed, RATIO, each) for each in (0.88, 0.9, 1.0, 1.07, 1.09)]
    assert outcomes == [Outcome.FAILS, Outcome.HOLDS, Outcome.HOLDS, Outcome.HOLDS, Outcome.FAILS]


def test_at_least_and_at_most() -> None:
    least, most = at_least(10.0, give=1.0), at_most(10.0, give=1.0)

    assert [outcome(least, RATIO, each) for each in (8, 9, 99)] == [
        Outcome.FAILS,
        Outcome.HOLDS,
        Outcome.HOLDS,
    ]
    assert [outcome(most, RATIO, each) for each in (1, 11, 12)] == [
        Outcome.HOLDS,
        Outcome.HOLDS,
        Outcome.FAILS,
    ]


def test_a_difference_within_the_tolerance_decides_nothing() -> None:
    assert [outcome(more(0.3), POINTS, each) for each in (0.4, 0.3, -0.3, -0.4)] == [
        Outcome.HOLDS,
        Outcome.UNDECIDED,
        Outcome.UNDECIDED,
        Outcome.FAILS,
    ]
    assert [outcome(less(0.3), POINTS, each) for each in (0.4, 0.3, -0.3, -0.4)] == [
        Outcome.FAILS,
        Outcome.UNDECIDED,
        Outcome.UNDECIDED,
        Outcome.HOLDS,
    ]
    assert "within 0.3" in (decide(more(0.3), POINTS, Computed(exactly(0.1)))[1] or "")


def test_more_than_nothing_is_more_than_one_for_a_ratio() -> None:
    assert outcome(more(0.05), RATIO, 1.5) is Outcome.HOLDS
    assert outcome(more(0.05, than=2.0), RATIO, 1.5) is Outcome.FAILS


def test_no_difference_at_all_is_not_less() -> None:
    assert outcome(less(0.0), POINTS, 0) is Outcome.UNDECIDED


def test_an_interval_has_to_lie_on_one_side() -> None:
    assert outcome(less(0.0), CHANGE_PERCENT, (-50, -1)) is Outcome.HOLDS
    assert outcome(less(0.0), CHANGE_PERCENT, (1, 50)) is Outcome.FAILS
    assert decide(less(0.0), CHANGE_PERCENT, Computed((-50, 50))) == (
        Outcome.UNDECIDED,
        "the interval does not lie on one side",
    )
    assert outcome(less(0.0), CHANGE_PERCENT, (-50, math.inf)) is Outcome.UNDECIDED


def test_the_last_bit_of_a_difference_decides_nothing() -> None:
    value = points(0.9736, 0.9706)

    assert value > 0.3
    assert outcome(more(0.3), POINTS, value) is Outcome.UNDECIDED


def test_seeds_that_differ_too_much_decide_nothing() -> None:
    def judged(value: float, deviation: float, seeds: int) -> tuple[Outcome, str | None]:
        return decide(less(0.5), POINTS, Computed(exactly(value), deviation, seeds))

    assert judged(-3, 1.0, 4)[0] is Outcome.HOLDS
    assert judged(-3, 1.2, 3)[0] is Outcome.UNDECIDED, "2.98 to either side, not 1.39"
    assert judged(-3, 3.0, 4) == (Outcome.UNDECIDED, "4 seeds differ too much to decide")
    assert judged(-3, 3.0, 16)[0] is Outcome.HOLDS
    assert judged(3, 0.1, 2)[0] is Outcome.FAILS


def test_an_interval_is_as_wide_as_its_seeds_are_few() -> None:
    """Quantiles of Student's t as tables of it have them."""
    assert [student(seeds) for seeds in (2, 3, 5, 31)] == pytest.approx(
        [12.706, 4.303, 2.776, 2.042], abs=5e-4
    )
    low, high = Computed(exactly(10), 1.0, 4).range
    assert (low, high) == pytest.approx((10 - 3.1824 / 2, 10 + 3.1824 / 2), abs=1e-4)


def test_a_figure_of_whole_sides_has_a_deviation_over_seeds() -> None:
    sides = [curves({1: 0.9, 2: 0.9}, {1: 0.5, 2: 0.9}), curves({1: 0.5, 2: 0.9}, {1: 0.5, 2: 0.9})]

    found = by_seed(passes_ratio)(sides)

    assert found.value == (1, 1), "of the mean curves"
    assert found.deviation == pytest.approx(math.sqrt(0.125)), "of 1/2 and 1"
    assert found.seeds == 2
