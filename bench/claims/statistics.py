"""What a check computes from its sides, and when that is what was published."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product
from typing import NamedTuple

from trainfit._experiments import in_common
from trainfit.bench.claims.workloads import Interval, Operand

_DIGITS = 9
"""Decimals that are compared: 0.97 - 0.95 is not 0.02 to the last bit."""

CONFIDENCE = 0.95
"""Of the interval around a mean over seeds, by Student's t: few seeds make it wide."""


# ---- statistics ----------------------------------------------------------------------------------


class Computed(NamedTuple):
    """A statistic's value, and its deviation over the ``seeds`` that all sides have."""

    value: Interval
    deviation: float | None = None
    seeds: int = 1

    @property
    def range(self) -> Interval:
        """What is compared with the claim: the confidence interval of a mean over seeds."""
        if self.deviation is None:
            return self.value
        width = student(self.seeds) * self.deviation / math.sqrt(self.seeds)
        return self.value[0] - width, self.value[1] + width


@cache
def student(seeds: int) -> float:
    """Standard errors to either side of a mean of so many: 4.30 for three, 2.78 for five."""
    from scipy.special import stdtrit  # noqa: PLC0415  (a quarter of a second)

    return float(stdtrit(seeds - 1, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Statistic:
    """What is computed from the sides of a check.

    Attributes:
        name: In machine-readable output.
        unit: Behind every figure.
        compute: The value from the sides.
        no_difference: What "more" and "less" start from.
        signed: Whether a positive value is written with its sign.
        shares: Whether it is of shares such as accuracies only.
        grid: Whether a side is all settings that match, not one.
        shown: What is said of the sides behind the value, if not the figure of each.
    """

    name: str
    unit: str
    compute: Callable[[Sequence[Operand]], Computed]
    no_difference: float = 0.0
    signed: bool = True
    shares: bool = False
    grid: bool = False
    shown: Callable[[Sequence[Operand]], Sequence[str]] | None = None


def of_means(compute: Callable[..., float]) -> Callable[[Sequence[Operand]], Computed]:
    """A function of one number per side as a statistic.

    It is computed of the means over seeds; of intervals at each combination of their ends, whose
    lowest and highest results are the bounds, which is exact where the function rises or falls with
    every number alone. Where all sides have the same seeds, its deviation over them is kept.
    """

    def computed(sides: Sequence[Operand]) -> Computed:
        settings = [side.only for side in sides]
        ends = [sorted(set(each.mean)) for each in settings]
        found = [compute(*corner) for corner in product(*ends)]
        value = min(found), max(found)
        by_seed = [each.by_seed for each in settings]
        seeds = list(by_seed[0])
        if len(found) > 1 or len(seeds) < 2 or any(set(own) != set(seeds) for own in by_seed):
            return Computed(value)
        single = [compute(*(own[seed][0] for own in by_seed)) for seed in seeds]
        return Computed(value, statistics.stdev(single), len(single))

    return computed


def by_seed(compute: Callable[[Sequence[Operand]], float]) -> Callable[..., Computed]:
    """A function of whole sides, such as their curves, as a statistic with a deviation over seeds.

    Its value is that of all seeds together, its deviation that of the values of each seed alone.
    """

    def computed(sides: Sequence[Operand]) -> Computed:
        value = compute(sides)
        seeds = in_common(each.seeds for side in sides for each in side.settings)
        if len(seeds) < 2:
            return Computed((value, value))
        single = [compute([side.with_seeds([seed]) for side in sides]) for seed in seeds]
        return Computed((value, value), statistics.stdev(single), len(single))

    return computed


def ratio(left: float, right: float) -> float:
    """Left over right; infinite where right is 0."""
    return left / right if right else math.inf


def percent_of(left: float, right: float) -> float:
    """Left in percent of right."""
    return 100 * ratio(left, right)


def change_percent(left: float, right: float) -> float:
    """How much more left is than right, in percent of right: -27 is 27 % less."""
    return percent_of(left, right) - 100


def points(left: float, right: float) -> float:
    """Left minus right of two shares such as accuracies, in percentage points."""
    return 100 * (left - right)


def change_apart(left: float, left_before: float, right: float, right_before: float) -> float:
    """How much more the left share has changed than the right one, in percentage points.

    A difference of differences: -3 is a loss that is 3 points larger, or a gain 3 points smaller.
    """
    return points(left, left_before) - points(right, right_before)


RATIO = Statistic("ratio", "times", of_means(ratio), no_difference=1.0, signed=False)
PERCENT_OF = Statistic("percent_of", "%", of_means(percent_of), no_difference=100.0, signed=False)
CHANGE_PERCENT = Statistic("change_percent", "%", of_means(change_percent))
POINTS = Statistic("points", "points", of_means(points), shares=True)
CHANGE_APART = Statistic("change_apart", "points", of_means(change_apart), shares=True)
"""Of four sides: left, left before, right, right before; each seed has a difference of its own."""


# ---- what was found beside what was published ----------------------------------------------------


class Outcome(StrEnum):
    """What became of one check."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "not decided"
    MISSING = "no records"


class Expect(StrEnum):
    """How what was computed has to lie to what was published."""

    NEAR = "near"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    MORE = "more"
    LESS = "less"


@dataclass(frozen=True)
class Expected:
    """What a paper says, in the unit of the statistic; made by the functions below.

    Attributes:
        expect: What is tested.
        published: A figure or the two ends of a range, if there is one.
        tolerance: How far off it may be; of ``more`` and ``less``, the largest difference that
            decides nothing.
        than: What ``more`` and ``less`` start from, if not no difference.
    """

    expect: Expect
    published: Interval | None
    tolerance: float
    than: float | None = None

    def __post_init__(self) -> None:
        if self.published is not None and self.published[0] > self.published[1]:
            raise ValueError(f"published: the low end comes first, not {self.published}")
        if self.tolerance < 0:
            raise ValueError(f"a tolerance must be at least 0, got {self.tolerance}")

    @property
    def is_direction(self) -> bool:
        """Whether only the sign of a difference is tested."""
        return self.expect in (Expect.MORE, Expect.LESS)

    def start(self, statistic: Statistic) -> float:
        """What ``more`` and ``less`` start from."""
        return statistic.no_difference if self.than is None else self.than

    def allowed(self, statistic: Statistic) -> Interval:
        """The values that hold."""
        if self.expect is Expect.MORE:
            return math.nextafter(self.start(statistic) + self.tolerance, math.inf), math.inf
        if self.expect is Expect.LESS:
            return -math.inf, math.nextafter(self.start(statistic) - self.tolerance, -math.inf)
        assert self.published is not None
        low, high = self.published[0] - self.tolerance, self.published[1] + self.tolerance
        return (
            -math.inf if self.expect is Expect.AT_MOST else low,
            math.inf if self.expect is Expect.AT_LEAST else high,
        )

    def possible(self, statistic: Statistic) -> Interval:
        """The values between which, ends included, it does not fail."""
        start = self.start(statistic)  # a small difference the other way decides nothing either
        if self.expect is Expect.MORE:
            return start - self.tolerance, math.inf
        if self.expect is Expect.LESS:
            return -math.inf, start + self.tolerance
        return self.allowed(statistic)


def _span(published: float | Interval) -> Interval:
    return published if isinstance(published, tuple) else (published, published)


def near(published: float | Interval, give: float = 0.0) -> Expected:
    """A figure, or a range, give or take ``give``."""
    return Expected(Expect.NEAR, _span(published), give)


def at_least(published: float, give: float = 0.0) -> Expected:
    """A figure or more; ``give`` less still holds."""
    return Expected(Expect.AT_LEAST, _span(published), give)


def at_most(published: float, give: float = 0.0) -> Expected:
    """A figure or less; ``give`` more still holds."""
    return Expected(Expect.AT_MOST, _span(published), give)


def more(by: float, *, published: float | None = None, than: float | None = None) -> Expected:
    """A difference upwards of more than ``by``; of what was published only the direction."""
    return Expected(Expect.MORE, None if published is None else _span(published), by, than)


def less(by: float, *, published: float | None = None, than: float | None = None) -> Expected:
    """A difference downwards of more than ``by``; of what was published only the direction."""
    return Expected(Expect.LESS, None if published is None else _span(published), by, than)


def decide(expected: Expected, statistic: Statistic, found: Computed) -> tuple[Outcome, str | None]:
    """Whether a value is what was published, and the reason if that is not decided.

    The whole interval has to lie on one side, or that of the mean over seeds.
    ``more`` and ``less`` need a difference that is larger than the tolerance; a smaller one,
    either way, decides nothing.
    """
    first, last = round(found.range[0], _DIGITS), round(found.range[1], _DIGITS)
    low, high = expected.allowed(statistic)
    if low <= first and last <= high:
        return Outcome.HOLDS, None
    low, high = expected.possible(statistic)
    if last < low or first > high:
        return Outcome.FAILS, None
    if found.deviation:
        return Outcome.UNDECIDED, f"{found.seeds} seeds differ too much to decide"
    if first != last:
        return Outcome.UNDECIDED, "the interval does not lie on one side"
    return Outcome.UNDECIDED, f"a difference within {expected.tolerance:g} decides nothing"
