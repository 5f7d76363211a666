from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainfit.bench.statistics import mean_interval, median_and_iqr, median_interval, ratio_interval

times = st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=60)


def skewed(count: int, seed: int = 1) -> np.ndarray:
    """Draws with median 1 and mean exp(1/2), as step times are: a long tail upwards."""
    return np.random.default_rng(seed).lognormal(size=count)


def resampled(values: np.ndarray, figure: object, times: int = 20_000) -> np.ndarray:
    """The textbook's bootstrap, with another seed."""
    rows = np.random.default_rng(99).integers(0, len(values), (times, len(values)))
    return np.quantile(figure(values[rows], axis=1), [0.025, 0.975])


@pytest.mark.parametrize("count", [2, 3, 4, 21, 50, 101])
def test_the_median_is_drawn_as_by_resampling(count: int) -> None:
    # GIVEN an odd or an even number of values
    values = skewed(count)

    # THEN drawing order statistics gives the interval that drawing whole resamples gives
    low, high = median_interval(values, resamples=20_000)
    expected = resampled(values, np.median)
    spread = expected[1] - expected[0]
    assert [low, high] == pytest.approx(list(expected), abs=0.08 * spread)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_the_mean_is_that_of_resampling(count: int) -> None:
    values = skewed(count)
    expected = resampled(values, np.mean)
    spread = expected[1] - expected[0]
    assert list(mean_interval(values, resamples=20_000)) == pytest.approx(
        list(expected), abs=0.05 * spread
    )


def test_known_intervals() -> None:
    # A resample of two values has both, one twice, or the other twice: 1/2, 1/4, 1/4.
    assert median_interval([1.0, 3.0], confidence=0.6) == (1.0, 3.0)
    assert median_interval([1.0, 3.0], confidence=0.3) == (2.0, 2.0)
    assert mean_interval([1.0, 3.0], confidence=0.3) == (2.0, 2.0)
    assert ratio_interval([1.0, 2.0], [2.0, 4.0]) == (2.0, 2.0)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    # GIVEN many samples of which median, mean and ratio are known
    rounds = 400
    held = {"median": 0, "mean": 0, "ratio": 0}
    for seed in range(rounds):
        values = skewed(40, seed)
        low, high = median_interval(values, resamples=400)
        held["median"] += low <= 1 <= high
        normal = np.random.default_rng(seed).normal(5, 1, 40)
        low, high = mean_interval(normal, resamples=400)
        held["mean"] += low <= 5 <= high
        low, high = ratio_interval(values, skewed(40, seed + rounds) * 2, resamples=400)
        held["ratio"] += low <= 2 <= high

    # THEN 95 % of the intervals hold them, give or take what 400 rounds can tell
    for name, count in held.items():
        assert 0.90 <= count / rounds <= 0.985, name


def test_pairs_stay_together() -> None:
    # GIVEN two sides that a neighbour slows down together, by up to a factor of ten
    disturbance = np.random.default_rng(3).uniform(1, 10, 40)

    # WHEN one takes exactly 1.2 times as long
    low, high = ratio_interval(disturbance, 1.2 * disturbance)

    # THEN the disturbance does not widen the interval at all
    assert (low, high) == pytest.approx((1.2, 1.2))
    shuffled = np.random.default_rng(4).permutation(1.2 * disturbance)
    low, high = ratio_interval(disturbance, shuffled)
    assert high - low > 0.3


@given(times, st.sampled_from([median_interval, mean_interval]))
def test_the_same_values_give_the_same_interval_in_any_order(values, interval) -> None:
    low, high = interval(values, resamples=50)
    assert interval(list(values), resamples=50) == (low, high)
    assert min(values) <= low * (1 + 1e-12)
    assert low <= high
    assert high <= max(values) * (1 + 1e-12)
    if interval is median_interval:
        assert interval(values[::-1], resamples=50) == (low, high)


def test_more_confidence_is_wider_and_more_values_are_narrower() -> None:
    def width(values: np.ndarray, confidence: float) -> float:
        low, high = median_interval(values, confidence)
        return high - low

    values = skewed(200)
    assert width(values, 0.5) < width(values, 0.95) < width(values, 0.999)
    assert width(skewed(5000), 0.95) < 0.5 * width(values, 0.95)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: median_interval([]), "at least two values, got 0"),
        (lambda: mean_interval([1.0]), "at least two values, got 1"),
        (lambda: median_interval([1.0, float("nan")]), "finite"),
        (lambda: median_interval([1.0, 2.0], confidence=95), "between 0 and 1, got 95"),
        (lambda: mean_interval([1.0, 2.0], resamples=0), "at least one resample"),
        (lambda: ratio_interval([1.0, 2.0], [1.0, 2.0, 3.0]), "got 2 and 3"),
        (lambda: ratio_interval([1.0, 0.0], [1.0, 2.0]), "above 0"),
    ],
)
def test_what_has_no_interval_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_median_and_interquartile_range() -> None:
    assert median_and_iqr([5.0, 1.0, 2.0, 3.0, 4.0]) == (3.0, 2.0)
