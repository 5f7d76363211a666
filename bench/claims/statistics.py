"""What a check computes from its sides, and whether that is what was published.

Every statistic takes values with a low and a high end (equal for what was measured, the bounds of a
model otherwise) and gives such an interval:

=====================  ============================================================================
``ratio``              left / right
``percent_of``         left as % of right
``change_percent``     left's change against right, %: -27 is 27 % less
``points``             left - right, percentage points of a share such as the accuracy
``lowest_points``      the lowest of these over ``along``: the largest loss
``slope_points``       least-squares slope of these per step of ``along``: whether a loss grows
``pairs_in_order``     share of all pairs of ``sides`` that rise in the order given, 0 to 1
``passes_ratio``       passes that left needs over those of right, to what both reach in the end
``near_best_points``   share of a grid within ``margin`` points of its best, left - right, in points
=====================  ============================================================================
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

from trainfit.bench.claims.schema import Check
from trainfit.bench.claims.select import Interval, Setting, Side
from trainfit.bench.claims.words import Expect, Statistic

UNITS = {
    Statistic.RATIO: "times",
    Statistic.PERCENT_OF: "%",
    Statistic.CHANGE_PERCENT: "%",
    Statistic.POINTS: "points",
    Statistic.LOWEST_POINTS: "points",
    Statistic.SLOPE_POINTS: "points per step",
    Statistic.PAIRS_IN_ORDER: "of the pairs",
    Statistic.PASSES_RATIO: "times the passes",
    Statistic.NEAR_BEST_POINTS: "points of the grid",
}

_NO_DIFFERENCE = {Statistic.RATIO: 1.0, Statistic.PASSES_RATIO: 1.0, Statistic.PERCENT_OF: 100.0}
"""What ``more`` and ``less`` start from, where that is not 0."""


_DIGITS = 9
"""Decimals that are compared: 0.97 - 0.95 is not 0.02 to the last bit."""


_STANDARD_ERRORS = 2
"""To either side of a mean over seeds; 95 % for many seeds, less for three."""


class Outcome(StrEnum):
    """What became of one check."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    MISSING = "no records"


class Computed(NamedTuple):
    """A statistic's value, and its deviation over the ``seeds`` that all sides have."""

    value: Interval
    deviation: float | None = None
    seeds: int = 1

    @property
    def range(self) -> Interval:
        """What is held against the claim: two standard errors to either side of a mean."""
        if self.deviation is None:
            return self.value
        width = _STANDARD_ERRORS * self.deviation / math.sqrt(self.seeds)
        return self.value[0] - width, self.value[1] + width


# ---- the statistics ------------------------------------------------------------------------------


def ratio(left: Interval, right: Interval) -> Interval:
    """Left over right; infinite where right may be 0."""
    return _divided(left[0], right[1]), _divided(left[1], right[0])


def _divided(above: float, below: float) -> float:
    return above / below if below else math.inf


def percent_of(left: Interval, right: Interval) -> Interval:
    """Left in percent of right."""
    low, high = ratio(left, right)
    return 100 * low, 100 * high


def change_percent(left: Interval, right: Interval) -> Interval:
    """How much more left is than right, in percent of right."""
    low, high = percent_of(left, right)
    return low - 100, high - 100


def points(left: Interval, right: Interval) -> Interval:
    """Left minus right of two shares, in percentage points."""
    return 100 * (left[0] - right[1]), 100 * (left[1] - right[0])


def lowest(gaps: Sequence[Interval]) -> Interval:
    """The lowest of several differences."""
    return min(low for low, _ in gaps), min(high for _, high in gaps)


def slope(gaps: Sequence[Interval]) -> Interval:
    """Least-squares slope of differences per step."""
    middle = (len(gaps) - 1) / 2
    weights = [step - middle for step in range(len(gaps))]
    scale = sum(weight**2 for weight in weights)
    low = sum(w * gap[w < 0] for w, gap in zip(weights, gaps, strict=True)) / scale
    high = sum(w * gap[w >= 0] for w, gap in zip(weights, gaps, strict=True)) / scale
    return low, high


def pairs_in_order(values: Sequence[Interval]) -> Interval:
    """Share of pairs that rise: surely at the low end, possibly at the high end."""
    pairs = list(combinations(values, 2))
    surely = sum(first[1] < second[0] for first, second in pairs)
    possibly = sum(first[0] < second[1] for first, second in pairs)
    return surely / len(pairs), possibly / len(pairs)


def passes_ratio(left: dict[int, float], right: dict[int, float]) -> Interval:
    """Passes of left over those of right until each first has what both end with at least.

    Args:
        left: Passes to accuracy.
        right: The same.
    """
    level = min(left[max(left)], right[max(right)])
    first, second = (
        min(number for number, accuracy in curve.items() if accuracy >= level)
        for curve in (left, right)
    )
    return first / second, first / second


def near_best(settings: Sequence[Setting], margin: float) -> Interval:
    """Share of settings at most ``margin`` points below the best of them."""
    means = [each.mean[0] for each in settings]
    near = [round(100 * (max(means) - mean), _DIGITS) <= margin for mean in means]
    share = sum(near) / len(means)
    return share, share


_TWO: dict[Statistic, Callable[[Interval, Interval], Interval]] = {
    Statistic.RATIO: ratio,
    Statistic.PERCENT_OF: percent_of,
    Statistic.CHANGE_PERCENT: change_percent,
    Statistic.POINTS: points,
}


def compute(check: Check, sides: Sequence[Side]) -> Computed:
    """The statistic of a check.

    Args:
        check: What is asked.
        sides: Those of :attr:`~trainfit.bench.claims.schema.Check.compared`, each with what it
        needs.
    """
    kind = check.statistic
    if kind is Statistic.NEAR_BEST_POINTS:
        shares = [near_best(side.settings, check.margin) for side in sides]
        return Computed(points(*shares))
    settings = [side.only for side in sides]
    if kind is Statistic.PASSES_RATIO:
        left, right = (_mean_curve(each) for each in settings)
        return Computed(passes_ratio(left, right))
    value = _of(kind, [each.mean for each in settings])
    seeds = [set(each.by_seed) for each in settings]
    if kind is Statistic.PAIRS_IN_ORDER or value[0] != value[1] or len(seeds[0]) < 2:
        return Computed(value)
    if any(own != seeds[0] for own in seeds):
        return Computed(value)
    single = [_of(kind, [each.by_seed[seed] for each in settings])[0] for seed in seeds[0]]
    return Computed(value, statistics.stdev(single), len(single))


def _of(kind: Statistic, values: Sequence[Interval]) -> Interval:
    if kind in _TWO:
        return _TWO[kind](*values)
    if kind is Statistic.PAIRS_IN_ORDER:
        return pairs_in_order(values)
    gaps = [points(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
    return lowest(gaps) if kind is Statistic.LOWEST_POINTS else slope(gaps)


def _mean_curve(setting: Setting) -> dict[int, float]:
    """Over the seeds, at the passes that all of them have."""
    curves = list(setting.curves.values())
    common = set.intersection(*(set(curve) for curve in curves))
    return {number: statistics.fmean(c[number] for c in curves) for number in sorted(common)}


# ---- what was found against what was published ---------------------------------------------------


def hold(check: Check, found: Computed) -> tuple[Outcome, str | None]:
    """Whether a value is what was published, and the reason if that is not decided.

    The whole interval has to lie on one side, or two standard errors around the mean over seeds.
    ``more`` and ``less`` need a difference that is larger than the tolerance; a smaller one,
    either way, decides nothing.
    """
    value = round(found.range[0], _DIGITS), round(found.range[1], _DIGITS)
    low, high = _allowed(check)
    if low <= value[0] and value[1] <= high:
        return Outcome.HOLDS, None
    if check.expect in (Expect.MORE, Expect.LESS):
        than = no_difference(check)
        fails = value[1] < than - check.tolerance, value[0] > than + check.tolerance
        if fails[check.expect is Expect.LESS]:
            return Outcome.FAILS, None
    elif value[1] < low or value[0] > high:
        return Outcome.FAILS, None
    if found.deviation:
        return Outcome.UNDECIDED, f"{found.seeds} seeds differ too much to decide"
    if value[0] != value[1]:
        return Outcome.UNDECIDED, "the interval does not lie on one side"
    return Outcome.UNDECIDED, f"a difference within {check.tolerance:g} decides nothing"


def no_difference(check: Check) -> float:
    """What ``more`` and ``less`` start from."""
    return _NO_DIFFERENCE.get(check.statistic, 0.0) if check.than is None else check.than


def _allowed(check: Check) -> Interval:
    tolerance = check.tolerance
    if check.expect is Expect.MORE:
        return math.nextafter(no_difference(check) + tolerance, math.inf), math.inf
    if check.expect is Expect.LESS:
        return -math.inf, math.nextafter(no_difference(check) - tolerance, -math.inf)
    assert check.published is not None
    low, high = check.published  # two, says the schema
    if check.expect is Expect.AT_LEAST:
        return low - tolerance, math.inf
    if check.expect is Expect.AT_MOST:
        return -math.inf, high + tolerance
    return low - tolerance, high + tolerance
