"""Several ratios taken together, and what they say about a change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainfit.bench.latency_comparison.result import (
    LEAST_PAIRS,
    Ratios,
    RatioVerdict,
    RevisionLimits,
)

enough = RevisionLimits().enough


def test_the_interval_is_student_s_of_the_logarithms() -> None:
    # GIVEN logarithms 0, 0.1 and 0.2: mean 0.1, deviation 0.1; quantile 4.3027 for two degrees
    found = Ratios.of([1.0, math.exp(0.1), math.exp(0.2)])

    half = 4.302653 * 0.1 / math.sqrt(3)
    assert found.ratio == pytest.approx(math.exp(0.1))
    assert found.interval == pytest.approx((math.exp(0.1 - half), math.exp(0.1 + half)))


def test_which_side_is_which_does_not_matter() -> None:
    values = [1.02, 0.97, 1.10]
    there, back = Ratios.of(values), Ratios.of([1 / value for value in values])

    assert back.ratio == pytest.approx(1 / there.ratio)
    assert back.interval == pytest.approx((1 / there.interval[1], 1 / there.interval[0]))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0], [1.0, math.nan], [1.0, math.inf]])
def test_what_is_no_row_of_ratios(values: list[float]) -> None:
    with pytest.raises(ValueError, match="ratios"):
        Ratios.of(values)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((1.06, 1.20), RatioVerdict.REGRESSION),
        ((1.04, 1.20), RatioVerdict.INCONCLUSIVE),
        ((0.80, 1.06), RatioVerdict.INCONCLUSIVE),
        ((1.00, 1.05), RatioVerdict.PASS),
        ((1.01, 1.04), RatioVerdict.PASS),
        ((0.80, 0.96), RatioVerdict.PASS),
        ((0.80, 0.90), RatioVerdict.FASTER),
    ],
)
def test_verdicts(interval: tuple[float, float], verdict: RatioVerdict) -> None:
    assert Ratios((1.0, 1.0), 1.0, interval).verdict(1.05) is verdict


def test_a_pass_may_end_early_and_a_regression_may_not() -> None:
    level, worse, restless = [1.0, 1.001, 0.999, 1.0], [1.3, 1.31, 1.3, 1.3], [0.8, 1.0, 1.3, 1.0]

    assert not enough(level[: LEAST_PAIRS - 1])
    assert enough(level)
    assert not enough([*level, 1.0])  # one side would have come first more often
    assert not enough(worse)
    assert not enough(restless)
    assert enough([*worse, 1.3, 1.3])


def _verdicts(true_ratio: float, deviation: float, runs: int = 400) -> list[RatioVerdict]:
    """What a gate of up to six pairs says again and again; pairs differ by a deviation."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(runs):
        values: list[float] = []
        while not enough(values):
            values.append(true_ratio * math.exp(random.normal(0, deviation)))
        found.append(Ratios.of(values).verdict(1.05))
    return found


@pytest.mark.parametrize("deviation", [0.005, 0.02, 0.1, 0.5])
def test_equal_revisions_raise_hardly_any_alarm_however_restless_the_machine(
    deviation: float,
) -> None:
    said = _verdicts(1.0, deviation)

    assert said.count(RatioVerdict.REGRESSION) / len(said) < 0.03
    if deviation < 0.01:
        assert set(said) == {RatioVerdict.PASS}


def test_at_the_allowed_ratio_the_alarm_is_as_rare_as_the_confidence_says() -> None:
    said = _verdicts(1.05, 0.02)

    assert said.count(RatioVerdict.REGRESSION) / len(said) < 0.04


def test_a_third_more_is_caught_where_pairs_differ_by_two_percent() -> None:
    said = _verdicts(1.3, 0.02)

    assert said.count(RatioVerdict.REGRESSION) / len(said) > 0.99
