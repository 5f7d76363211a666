"""What is asked of two revisions of the code, and what was found of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from trainfit.bench.latency_comparison.bytes import BytesFound
from trainfit.bench.latency_comparison.energy import Energies
from trainfit.bench.latency_comparison.git_worktree import AgainstError
from trainfit.bench.latency_comparison.paired import Side
from trainfit.bench.latency_comparison.ratio import (
    LEAST_PAIRS,
    MAX_RATIO,
    MOST_PAIRS,
    Ratios,
    Verdict,
)
from trainfit.bench.records.schema import Workload


@dataclass(frozen=True)
class AgainstLimits:
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
            AgainstError: One of them is out of range.
        """
        if not self.max_ratio > 1:  # nor NaN
            raise AgainstError(
                f"--max-ratio {self.max_ratio:g}: must be above 1, such as {MAX_RATIO:g} for 5 %"
                " more than before"
            )
        if self.most_pairs < LEAST_PAIRS or self.most_pairs % 2:
            raise AgainstError(
                f"--pairs {self.most_pairs}: must be an even number of {LEAST_PAIRS} or more, for"
                " each side comes first in half of them"
            )


@dataclass(frozen=True)
class Times:
    """Steps of one workload in both revisions.

    Attributes:
        ratios: Now over then.
        then_seconds: A step of the other revision: the median over the pairs.
        now_seconds: A step of the working tree, likewise.
        blocks: Of each side, over all pairs.
        workload: What ran, its model's name in full.
        stage: The stage that was timed, the first one.
        stages: How many the algorithm has.
    """

    ratios: Ratios
    then_seconds: float
    now_seconds: float
    blocks: int
    workload: Workload
    stage: str
    stages: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[Side, Side]], ratios: Ratios) -> Times:
        """Take pairs of processes together: then and now of each."""
        thens, nows = zip(*pairs, strict=True)
        return cls(
            ratios=ratios,
            then_seconds=median(each.median for each in thens),
            now_seconds=median(each.median for each in nows),
            blocks=sum(len(each.step_seconds) for each in nows),
            workload=nows[0].workload,
            stage=nows[0].stage,
            stages=nows[0].stages,
        )


NO_SENSOR = "no sensor was named (--sensor NAME)"


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
    verdict: Verdict
    reason: str = ""
    times: Times | None = None
    bytes: BytesFound = field(default_factory=BytesFound)
    energy: Energies | str = NO_SENSOR


@dataclass(frozen=True)
class AgainstResult:
    """Two revisions held against each other.

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
    limits: AgainstLimits
    threads: int
    workloads: tuple[WorkloadResult, ...]
    notes: tuple[str, ...] = ()
