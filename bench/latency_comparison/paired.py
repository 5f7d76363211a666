"""Which of two workloads takes longer, measured side by side: A B B A, in turns, in two processes.

Two times measured one after the other differ by what the machine did meanwhile. Here both workloads
are prepared, each in a process of its own, and then take turns at blocks of some tens of
milliseconds; the one that waits is blocked. What drifts, such as the core's clock, disturbs
neighbouring blocks alike, so the ratio of the two is known far better than either time. The order
turns round from pair to pair, which cancels a steady drift.

The first step of a block is not timed, for it finds the caches as the other side left them.

Other processes do not disturb both sides alike: a block that waits for a core waits for as long as
the scheduler says, not in proportion to its steps. So blocks of both sides are equally long in CPU
time, the ratio of CPU time is given beside that of the clock, and where the two contradict each
other the latter is not given (:mod:`trainfit.bench.latency_comparison.waiting`).

The interval of the ratio is a bootstrap over pairs
(:func:`trainfit.bench.statistics.ratio_interval`). It is looked at several times while blocks come
in, so that it holds the true ratio a little less often than its confidence says. It also knows
nothing of what differs from one pair of processes to the next, such as where their memory lies: a
difference of a percent or two is worth a second run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from trainfit.bench.latency_comparison.blocks import Block
from trainfit.bench.latency_comparison.processes import Call, Pair
from trainfit.bench.latency_comparison.turns import (
    DEFAULT_LIMITS,
    BlockLimits,
    PairedStop,
    take_blocks,
)
from trainfit.bench.latency_comparison.waiting import Estimate, Use
from trainfit.bench.processes.isolation import call
from trainfit.bench.records.schema import Workload
from trainfit.bench.statistics import median_interval


@dataclass(frozen=True)
class Side:
    """What was found of one workload.

    Attributes:
        workload: What ran, its model's name in full.
        stage: The stage whose steps were timed.
        stages: How many stages the algorithm has.
        steps_per_block: Steps in each of its blocks.
        step_seconds: Of every block: its seconds per step.
        median: Seconds of a step: the median over blocks.
        interval: Bootstrap interval of that median, in seconds.
        use: How it used the machine meanwhile.
    """

    workload: Workload
    stage: str
    stages: int
    steps_per_block: int
    step_seconds: tuple[float, ...]
    median: float
    interval: tuple[float, float]
    use: Use = field(default_factory=Use)


@dataclass(frozen=True)
class Comparison:
    """Two workloads side by side.

    Attributes:
        a: The one that the other is compared with.
        b: The other one.
        wall: Median step of B over that of A, by the clock, whether or not it is to be believed.
        cpu: The same of CPU time; None where that is not known.
        doubt: Why ``wall`` is not to be believed; empty where nothing speaks against it.
        confidence: Of all intervals.
        asked_width: How wide the interval was to be at most, as a fraction of the ratio.
        blocks: Blocks of each.
        stopped: Why no more were taken.
        threads: Threads for operators.
        onednn: Whether torch may use oneDNN.
    """

    a: Side
    b: Side
    wall: Estimate
    cpu: Estimate | None
    doubt: str
    confidence: float
    asked_width: float
    blocks: int
    stopped: PairedStop
    threads: int
    onednn: bool

    @property
    def ratio(self) -> float | None:
        """``wall``'s; None where it is in doubt."""
        return None if self.doubt else self.wall.ratio

    @property
    def interval(self) -> tuple[float, float] | None:
        """``wall``'s; None where it is in doubt."""
        return None if self.doubt else self.wall.interval

    @property
    def differs(self) -> bool:
        """The interval leaves 1 out: one of the two has been shown to take longer."""
        low, high = self.wall.interval
        return not (self.doubt or low <= 1 <= high)


def compare_latency(
    a: Workload,
    b: Workload,
    *,
    stages: tuple[int, int] = (0, 0),
    threads: int = 1,
    data_root: Path | None = None,
    limits: BlockLimits = DEFAULT_LIMITS,
    progress: Callable[[str], None] = lambda _: None,
    calls: tuple[Call, Call] = (call, call),
) -> Comparison:
    """Compare the time of a step of two workloads.

    Args:
        a: The one that the other is compared with.
        b: The other one; it may be the same.
        stages: Which stage of each to time, by number; most algorithms have only one.
        threads: Threads for operators, the same for both.
        data_root: Where data sets are read from; None takes ``TRAINFIT_DATA_ROOT``.
        limits: When to stop.
        progress: Hears in words how far it is.
        calls: How each is run, where the two are to come from different source trees.

    Raises:
        PairError: One of the two cannot be run, or ended early.
    """
    with Pair(limits.timeout_seconds, calls=calls) as pair:
        for workload, stage in zip((a, b), stages, strict=True):
            progress(f"preparing {workload.label}")
            pair.start(
                workload,
                stage=stage,
                threads=threads,
                data_root=str(data_root) if data_root else None,
            )
        ready = [pair.reply(side, "ready") for side in (0, 1)]

        def turn(side: int, steps: int) -> Block:
            pair.say(side, steps)
            return Block.received(pair.reply(side, "step_seconds"), pair.said(side, "more"))

        blocks = take_blocks(turn, limits, progress, threads)
    judged = blocks.judge(limits, threads)
    found = [
        Side(
            workload=workload.model_copy(update={"model": ready[index]["model"]}),
            stage=ready[index]["stage"],
            stages=ready[index]["stages"],
            steps_per_block=blocks.steps[index],
            step_seconds=tuple(blocks.seconds[index]),
            median=median(blocks.seconds[index]),
            interval=median_interval(blocks.seconds[index], limits.confidence),
            use=judged.uses[index],
        )
        for index, workload in enumerate((a, b))
    ]
    return Comparison(
        a=found[0],
        b=found[1],
        wall=judged.wall,
        cpu=judged.cpu,
        doubt=judged.doubt,
        confidence=limits.confidence,
        asked_width=limits.width,
        blocks=len(blocks.seconds[0]),
        stopped=blocks.stopped,
        threads=threads,
        onednn=ready[0]["onednn"],
    )
