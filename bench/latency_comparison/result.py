"""Two revisions of the code: limits, results, and what several ratios say together.

Within one pair of processes the ratio of two times is soon known to a percent. But the same program
started again can be some percent faster or slower for as long as that process lives, because its
memory lies elsewhere (Mytkowicz et al., Producing wrong data without doing anything obviously
wrong!, 2009). No number of blocks shows that. So several pairs of processes are started, and the
interval is over their ratios: Student's, of the mean of the logarithms, which takes what differs
between pairs and what is noise within them alike. It assumes that the logarithms are about normal;
one pair in a disturbed moment makes it wide, which leads to no verdict rather than to a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from trainfit.bench.latency_comparison.source_tree import RevisionError
from trainfit.bench.latency_comparison.waiting import Estimate, Use, doubt

if TYPE_CHECKING:
    from trainfit.bench.gate.compare import Finding
    from trainfit.bench.latency_comparison.paired import Side
    from trainfit.bench.records.schema import Workload

CONFIDENCE = 0.95

LEAST_PAIRS = 4
"""The interval of three ratios is five deviations wide, that of four three."""

MOST_PAIRS = 6

MAX_RATIO = 1.05
"""The default of what is allowed.

A regression is shown when the whole interval lies above it. Changes of one or two percent come from
where code and data happen to lie in memory and go with the next edit elsewhere; a gate that fails
on them is soon ignored. Five percent is beyond that, and a real loss is seldom smaller.
"""

CONTRADICTION = 0.02
"""Ratios by the clock and of CPU time that differ by less do not contradict each other."""

NO_SENSOR = "no sensor was named (--sensor NAME)"


class RatioVerdict(StrEnum):
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
        quantile = float(stdtrit(len(logs) - 1, (1 + CONFIDENCE) / 2))
        middle, half = fmean(logs), quantile * stdev(logs) / math.sqrt(len(logs))
        interval = math.exp(middle - half), math.exp(middle + half)
        return cls(tuple(values), math.exp(middle), interval)

    def verdict(self, max_ratio: float) -> RatioVerdict:
        """A regression needs the whole interval above the allowed ratio, a pass at or below it."""
        low, high = self.interval
        if low > max_ratio:
            return RatioVerdict.REGRESSION
        if high > max_ratio:
            return RatioVerdict.INCONCLUSIVE
        return RatioVerdict.FASTER if high < 1 / max_ratio else RatioVerdict.PASS


@dataclass(frozen=True)
class RevisionLimits:
    """What is allowed, and when to stop.

    Attributes:
        max_ratio: Now over then may be this much; above 1.
        most_pairs: Pairs of processes per workload, an even number of at least 4.
        most_seconds: Time of the blocks of one workload, all pairs together.
        timeout_seconds: Cap on one pair of processes, loading included.
    """

    max_ratio: float = MAX_RATIO
    most_pairs: int = MOST_PAIRS
    most_seconds: float = 15.0
    timeout_seconds: float = 600.0

    def check(self) -> None:
        """Refuse limits that could not be kept.

        Raises:
            RevisionError: One of them is out of range.
        """
        if not self.max_ratio > 1:  # nor NaN
            raise RevisionError(
                f"--max-ratio {self.max_ratio:g}: must be above 1, such as {MAX_RATIO:g} for 5 %"
                " more than before"
            )
        if self.most_pairs < LEAST_PAIRS or self.most_pairs % 2:
            raise RevisionError(
                f"--pairs {self.most_pairs}: must be an even number of {LEAST_PAIRS} or more, for"
                " each side comes first in half of them"
            )

    def enough(self, values: Sequence[float]) -> bool:
        """Whether no more pairs are needed than those with these ratios.

        Their number is even, so that each side came first equally often. A pass may end early. A
        regression has to hold with all the pairs there may be, so that looking again and again
        raises no more false alarms than looking once.
        """
        if len(values) >= self.most_pairs:
            return True
        if len(values) < LEAST_PAIRS or len(values) % 2:
            return False
        return Ratios.of(values).verdict(self.max_ratio) in {RatioVerdict.PASS, RatioVerdict.FASTER}


@dataclass(frozen=True)
class Times:
    """Steps of one workload in both revisions.

    Attributes:
        ratios: Now over then, by the clock.
        then_seconds: A step of the other revision: the median over the pairs.
        now_seconds: A step of the working tree, likewise.
        blocks: Of each side, over all pairs.
        workload: What ran, its model's name in full.
        stage: The stage that was timed, the first one.
        stages: How many the algorithm has.
        cpu: Now over then of CPU time; None where a revision does not tell it.
        uses: How then and now used the machine.
        doubt: Why ``ratios`` are not to be believed; empty where nothing speaks against them.
    """

    ratios: Ratios
    then_seconds: float
    now_seconds: float
    blocks: int
    workload: Workload
    stage: str
    stages: int
    cpu: Ratios | None = None
    uses: tuple[Use, Use] = field(default_factory=lambda: (Use(), Use()))
    doubt: str = ""

    @classmethod
    def of(cls, pairs: Sequence[tuple[Side, Side]], ratios: Ratios, threads: int) -> Times:
        """Take pairs of processes together: then and now of each."""
        thens, nows = zip(*pairs, strict=True)
        uses = Use.together([each.use for each in thens]), Use.together([each.use for each in nows])
        known = [
            now.use.cpu_seconds / then.use.cpu_seconds
            for then, now in pairs
            if now.use.cpu_seconds and then.use.cpu_seconds
        ]
        cpu = Ratios.of(known) if len(known) == len(pairs) else None
        said = doubt(
            Estimate(ratios.ratio, ratios.interval),
            Estimate(cpu.ratio, cpu.interval) if cpu else None,
            uses,
            threads=threads,
            width=CONTRADICTION,
            names=("then", "now"),
        )
        return cls(
            ratios=ratios,
            then_seconds=median(each.median for each in thens),
            now_seconds=median(each.median for each in nows),
            blocks=sum(len(each.step_seconds) for each in nows),
            workload=nows[0].workload,
            stage=nows[0].stage,
            stages=nows[0].stages,
            cpu=cpu,
            uses=uses,
            doubt=said,
        )

    def verdict(self, max_ratio: float) -> RatioVerdict:
        """That of the ratios; a busy machine that leaves them in doubt says nothing."""
        return RatioVerdict.INCONCLUSIVE if self.doubt else self.ratios.verdict(max_ratio)


@dataclass(frozen=True)
class BytesFound:
    """What became of the bytes of one workload.

    Attributes:
        findings: What is not the same; empty where all is, and where nothing could be compared.
        explained: Which tensors did it, in words.
        note: Why nothing could be compared; empty if it could.
    """

    findings: tuple[Finding, ...] = ()
    explained: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Energies:
    """Joules per step of one workload in both revisions.

    Attributes:
        ratios: Now over then.
        then_joules: Of a step of the other revision: the median over the pairs.
        now_joules: Of a step of the working tree, likewise.
        sensor: Which one was read.
    """

    ratios: Ratios
    then_joules: float
    now_joules: float
    sensor: str


@dataclass(frozen=True)
class WorkloadResult:
    """What was found of one workload.

    Attributes:
        workload: What was measured, its model's name in full where it ran.
        verdict: The worse one of its time's and its energy's.
        reason: Why it could not be compared, or empty.
        times: None where the two could not be compared.
        bytes: What became of its bytes.
        energy: A reason where there is none.
    """

    workload: Workload
    verdict: RatioVerdict
    reason: str = ""
    times: Times | None = None
    bytes: BytesFound = field(default_factory=BytesFound)
    energy: Energies | str = NO_SENSOR


@dataclass(frozen=True)
class RevisionResult:
    """Two revisions compared with each other.

    Attributes:
        revision: The other one, as it was asked for.
        commit: Its full name.
        now: What the present state is called.
        limits: What was allowed.
        threads: For operators.
        workloads: One result each.
        notes: What has to be said of all of them.
    """

    revision: str
    commit: str
    now: str
    limits: RevisionLimits
    threads: int
    workloads: tuple[WorkloadResult, ...]
    notes: tuple[str, ...] = ()
