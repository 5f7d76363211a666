"""Bootstrap intervals of medians, means and ratios: how far a figure can be trusted.

The percentile bootstrap of Efron (Bootstrap methods: another look at the jackknife, 1979; Efron and
Tibshirani, An introduction to the bootstrap, 1993, chapter 13), as scipy has it. It assumes that
the values are independent draws from one distribution and needs nothing of that distribution's
shape. Times that drift, or that come in runs, break the assumption; then the interval is too
narrow. With fewer than about ten values it is too narrow as well.

All draws come from a generator with a fixed seed: the same values give the same interval.

Shape suffixes: N values, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = Sequence[float] | NDArray[np.float64]

RESAMPLES = 2000
"""Enough for the ends of a 95 % interval to move by less than a tenth of its width."""

_SEED = 20_240_229


def median_interval(
    values: Values, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile-bootstrap interval of the median of independent values.

    A resample's median is drawn as what it is: the middle order statistic of N uniform draws, which
    follows a beta distribution. That is the bootstrap's own distribution, at a cost that does not
    grow with N, so that stopping rules can look at it after every few steps.

    Args:
        values: At least two finite numbers, in any order.
        confidence: Share of such intervals that hold the true median, between 0 and 1.
        resamples: How often to draw.

    Returns:
        Low and high end, in the unit of the values.

    Raises:
        ValueError: There are fewer than two values, one is not finite, or the confidence or the
            number of resamples is out of range.
    """
    sorted_N = np.sort(_checked(values, confidence, resamples))
    count = len(sorted_N)
    random = np.random.default_rng(_SEED)
    below = (count - 1) // 2  # values before the lower middle one
    lower_R = random.beta(below + 1, count - below, resamples)
    medians_R = sorted_N[_ranks(lower_R, count)]
    if count % 2 == 0:  # the next order statistic, given this one
        upper_R = lower_R + (1 - lower_R) * random.beta(1, count - below - 1, resamples)
        medians_R = (medians_R + sorted_N[_ranks(upper_R, count)]) / 2
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians_R, [tail, 1 - tail])
    return float(low), float(high)


def mean_interval(
    values: Values, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile-bootstrap interval of the mean; otherwise as :func:`median_interval`."""
    return _bootstrap((_checked(values, confidence, resamples),), np.mean, confidence, resamples)


def ratio_interval(
    a_blocks: Values, b_blocks: Values, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile-bootstrap interval of median(b) / median(a), for blocks that belong in pairs.

    Pairs are drawn, never single values, so that what disturbs both of a pair cancels. Pairs are
    assumed to be independent of each other; the two of a pair need not be.

    Args:
        a_blocks: At least two positive numbers.
        b_blocks: As many, in the same unit; number i belongs to number i of ``a_blocks``.
        confidence: Share of such intervals that hold the true ratio, between 0 and 1.
        resamples: How often to draw.

    Returns:
        Low and high end of the ratio of ``b`` to ``a``, without unit.

    Raises:
        ValueError: As for :func:`median_interval`, or the lengths differ, or a value is not
            positive.
    """
    a_N = _checked(a_blocks, confidence, resamples)
    b_N = _checked(b_blocks, confidence, resamples)
    if len(a_N) != len(b_N):
        raise ValueError(f"paired blocks need equal numbers, got {len(a_N)} and {len(b_N)}")
    if min(a_N.min(), b_N.min()) <= 0:
        raise ValueError("a ratio of times needs times above 0")

    def ratio(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> Any:
        return np.median(b, axis=axis) / np.median(a, axis=axis)

    return _bootstrap((a_N, b_N), ratio, confidence, resamples)


def median_and_iqr(values: Values) -> tuple[float, float]:
    """Median and interquartile range, in the unit of the values."""
    low, middle, high = np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75])
    return float(middle), float(high - low)


def _checked(values: Values, confidence: float, resamples: int) -> NDArray[np.float64]:
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.ndim != 1 or len(values_N) < 2:
        raise ValueError(f"an interval needs a row of at least two values, got {values_N.size}")
    if not np.isfinite(values_N).all():
        raise ValueError("an interval needs finite values")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, got {confidence}")
    if resamples < 1:
        raise ValueError(f"at least one resample is needed, got {resamples}")
    return values_N


def _ranks(uniform_R: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Which of ``count`` sorted values a uniform draw between 0 and 1 means."""
    return np.minimum((uniform_R * count).astype(np.intp), count - 1)


def _bootstrap(
    rows: tuple[NDArray[np.float64], ...],
    figure: Callable[..., Any],
    confidence: float,
    resamples: int,
) -> tuple[float, float]:
    """Interval of a figure of rows whose values belong together."""
    from scipy.stats import bootstrap  # noqa: PLC0415  (takes a moment)

    found = bootstrap(
        rows,
        figure,
        paired=len(rows) > 1,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        random_state=np.random.default_rng(_SEED),
    )
    low, high = sorted(map(float, found.confidence_interval))  # rounding may turn equal ends round
    return low, high
