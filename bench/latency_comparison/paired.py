"""Which of two workloads takes longer, measured side by side: A B B A, in turns, in two processes.

Two times measured one after the other differ by what the machine did meanwhile. Here both workloads
are prepared, each in a process of its own, and then take turns at blocks of some tens of
milliseconds; the one that waits is blocked. What disturbs a block mostly disturbs its neighbour,
so the ratio of the two is known far better than either time. The order turns round from pair to
pair, which cancels a steady drift.

The first step of a block is not timed, for it finds the caches as the other side left them.

The interval of the ratio is a bootstrap over pairs
(:func:`trainfit.bench.statistics.ratio_interval`). It is looked at several times while blocks come
in, so that it holds the true ratio a little less often than its confidence says. It also knows
nothing of what differs from one pair of processes to the next, such as where their memory lies: a
difference of a percent or two is worth a second run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import median

from trainfit.bench.latency_comparison.processes import WARM_UP, Call, Pair
from trainfit.bench.processes.isolation import call
from trainfit.bench.records.schema import Workload
from trainfit.bench.statistics import median_interval, ratio_interval

BLOCK_SECONDS = 0.03
"""Long against a turn's beginning and end, short against what drifts."""

LEAST_PAIRS = 10
_CHECK_AGAIN = 1.25


class PairedStop(StrEnum):
    """Why no more blocks were taken."""

    SETTLED = "settled"  # the interval of the ratio is as narrow as asked
    BLOCKS = "blocks"  # the cap on their number
    SECONDS = "seconds"  # the cap on the time


@dataclass(frozen=True)
class BlockLimits:
    """When to stop.

    Attributes:
        width: The interval of the ratio is at most this fraction of the ratio wide.
        confidence: Of all intervals.
        most_pairs: Cap on blocks of each side, at least 10.
        most_seconds: Cap on the time that blocks take together.
        timeout_seconds: Cap on everything, loading included; a side still running then is killed.
    """

    width: float = 0.02
    confidence: float = 0.95
    most_pairs: int = 400
    most_seconds: float = 30.0
    timeout_seconds: float = 600.0


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
    """

    workload: Workload
    stage: str
    stages: int
    steps_per_block: int
    step_seconds: tuple[float, ...]
    median: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two workloads side by side.

    Attributes:
        a: The one that the other is compared with.
        b: The other one.
        ratio: Median step of B over that of A.
        interval: Bootstrap interval of the ratio, over pairs of blocks.
        confidence: Of all intervals.
        asked_width: How wide the interval was to be at most, as a fraction of the ratio.
        blocks: Blocks of each.
        stopped: Why no more were taken.
        threads: Threads for operators.
        onednn: Whether torch may use oneDNN.
    """

    a: Side
    b: Side
    ratio: float
    interval: tuple[float, float]
    confidence: float
    asked_width: float
    blocks: int
    stopped: PairedStop
    threads: int
    onednn: bool

    @property
    def differs(self) -> bool:
        """The interval leaves 1 out: one of the two has been shown to take longer."""
        low, high = self.interval
        return not low <= 1 <= high


Turn = Callable[[int, int], float]
"""Side (0 or 1) and number of steps, to seconds per step."""


def compare_latency(
    a: Workload,
    b: Workload,
    *,
    stages: tuple[int, int] = (0, 0),
    threads: int = 1,
    data_root: Path | None = None,
    limits: BlockLimits = BlockLimits(),
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

        def turn(side: int, steps: int) -> float:
            pair.say(side, steps)
            return float(pair.reply(side, "step_seconds"))

        blocks = take_blocks(turn, limits, progress)
    found = [
        Side(
            workload=workload.model_copy(update={"model": ready[index]["model"]}),
            stage=ready[index]["stage"],
            stages=ready[index]["stages"],
            steps_per_block=blocks.steps[index],
            step_seconds=tuple(blocks.seconds[index]),
            median=median(blocks.seconds[index]),
            interval=median_interval(blocks.seconds[index], limits.confidence),
        )
        for index, workload in enumerate((a, b))
    ]
    return Comparison(
        a=found[0],
        b=found[1],
        ratio=found[1].median / found[0].median,
        interval=ratio_interval(*blocks.seconds, limits.confidence),
        confidence=limits.confidence,
        asked_width=limits.width,
        blocks=len(blocks.seconds[0]),
        stopped=blocks.stopped,
        threads=threads,
        onednn=ready[0]["onednn"],
    )


@dataclass
class Blocks:
    """Blocks of both sides.

    Attributes:
        steps: Steps in a block of each side.
        seconds: Per side and pair: seconds per step.
        stopped: Why there are no more.
    """

    steps: tuple[int, int]
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    stopped: PairedStop = PairedStop.SETTLED


def take_blocks(turn: Turn, limits: BlockLimits, progress: Callable[[str], None]) -> Blocks:
    """Warm both sides up, then take pairs of blocks until the ratio is known well enough.

    Args:
        turn: Gives one side its turn.
        limits: When to stop.
        progress: Hears in words how far it is.
    """
    progress("warming up")
    blocks = Blocks((_calibrate(turn, 0), _calibrate(turn, 1)))
    spent, next_check = 0.0, LEAST_PAIRS
    known = ""
    while True:
        pair = len(blocks.seconds[0])
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            seconds = turn(side, blocks.steps[side])
            blocks.seconds[side].append(seconds)
            spent += seconds * blocks.steps[side]
        pair += 1
        if pair >= next_check and pair % 2 == 0:  # as many began with A as with B
            next_check = int(pair * _CHECK_AGAIN) + 1
            low, high = ratio_interval(*blocks.seconds, limits.confidence)
            ratio = median(blocks.seconds[1]) / median(blocks.seconds[0])
            if high - low <= limits.width * ratio:
                blocks.stopped = PairedStop.SETTLED
                return blocks
            known = f", B/A {low:.3f} to {high:.3f}"
        if pair >= max(limits.most_pairs, LEAST_PAIRS):
            blocks.stopped = PairedStop.BLOCKS
            return blocks
        if pair >= LEAST_PAIRS and spent >= limits.most_seconds:
            blocks.stopped = PairedStop.SECONDS
            return blocks
        progress(f"{pair} blocks each{known}")


def _calibrate(turn: Turn, side: int) -> int:
    """Warm a side up; returns how many of its steps make a block."""
    first = max(1, round(BLOCK_SECONDS / turn(side, WARM_UP)))  # of single steps, so a rough guess
    return max(1, round(BLOCK_SECONDS / turn(side, first)))
