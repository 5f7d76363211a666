"""What ratios of two revisions, one per pair of processes, say together.

Within one pair of processes the ratio of two times is soon known to a percent. But the same program
started anew can be some percent faster or slower for as long as that process lives, because its
memory lies elsewhere (Mytkowicz et al., Producing wrong data without doing anything obviously
wrong!, 2009). No number of blocks shows that. So several pairs of processes are started, and the
interval is over their ratios: Student's, of the mean of the logarithms, which takes what differs
between pairs and what is noise within them alike. It assumes that the logarithms are about normal;
one pair in a disturbed moment makes it wide, which leads to no verdict rather than to a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

CONFIDENCE = 0.95

LEAST_PAIRS = 4
"""The interval of three ratios is five deviations wide, that of four three."""

MOST_PAIRS = 6

MAX_RATIO = 1.05
"""What is allowed where nothing else is asked for.

A regression is shown when the whole interval lies above it. Changes of one or two percent come from
where code and data happen to lie in memory and go with the next edit elsewhere; a gate that fails
on them is soon ignored. Five percent is beyond that, and a real loss is seldom smaller.
"""


class Verdict(StrEnum):
    """What a ratio says about a change."""

    PASS = "pass"  # noqa: S105  (no password)
    FASTER = "faster"
    INCONCLUSIVE = "inconclusive"
    REGRESSION = "regression"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True)
class Ratios:
    """Now over then, of several pairs of processes.

    Attributes:
        values: One ratio per pair.
        ratio: Their geometric mean.
        interval: Student's interval of it, at ``CONFIDENCE``.
    """

    values: tuple[float, ...]
    ratio: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[float]) -> Ratios:
        """Take ratios together.

        Raises:
            ValueError: There are fewer than two, or one is not a positive number.
        """
        if len(values) < 2:
            raise ValueError(f"an interval needs at least two ratios, got {len(values)}")
        if not all(value > 0 and math.isfinite(value) for value in values):
            raise ValueError(f"ratios are positive numbers, got {list(values)}")
        from scipy.special import stdtrit  # noqa: PLC0415  (takes a moment)

        logs = [math.log(value) for value in values]
        middle = fmean(logs)
        quantile = float(stdtrit(len(logs) - 1, (1 + CONFIDENCE) / 2))
        half = quantile * stdev(logs) / math.sqrt(len(logs))
        return cls(
            tuple(values), math.exp(middle), (math.exp(middle - half), math.exp(middle + half))
        )

    def verdict(self, max_ratio: float) -> Verdict:
        """A regression needs the whole interval above the allowed ratio, a pass at or below it."""
        low, high = self.interval
        if low > max_ratio:
            return Verdict.REGRESSION
        if high > max_ratio:
            return Verdict.INCONCLUSIVE
        return Verdict.FASTER if high < 1 / max_ratio else Verdict.PASS


def enough(values: Sequence[float], max_ratio: float, most: int) -> bool:
    """Whether no more pairs are needed.

    Their number is even, so that each side came first equally often. A pass may end early. A
    regression has to hold with all the pairs there may be, so that looking again and again raises
    no more false alarms than looking once.
    """
    if len(values) >= most:
        return True
    if len(values) < LEAST_PAIRS or len(values) % 2:
        return False
    return Ratios.of(values).verdict(max_ratio) in {Verdict.PASS, Verdict.FASTER}
