"""Whether time by the clock can be trusted: ratios of it and of CPU time, and who waited how long.

On a busy machine a step waits for a core. Two workloads that take turns do not wait in proportion
to what they need: the scheduler grants a process that has slept a few milliseconds at once and
makes it wait for the others after that, so the shorter of two blocks may not wait at all, and two
blocks that are both mostly waiting look alike. The ratio by the clock is then as steady as it is
wrong, and its interval, which only knows how the blocks differ, is narrow.

With one thread CPU time does not contain the waiting, so a ratio of it beside that by the clock
shows the fault. With several threads it says nothing of duration. There the run delay bounds what
waiting may have done: all of it may have held the step up, or none.

Neither sees what a neighbour does to caches, memory bandwidth or the core's clock, nor what a
hypervisor takes from the whole machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import median

from trainfit.bench.latency_comparison.blocks import Block
from trainfit.bench.statistics import Values, ratio_interval

BUSY = 0.1
"""Waiting as a share of a step's time by the clock, from which on several threads are in doubt.

A thread of several that waits now and then is usual and mostly held up by nothing but itself.
"""


@dataclass(frozen=True)
class Estimate:
    """A ratio, B over A, and how well it is known.

    Attributes:
        ratio: Median over blocks of B over that of A.
        interval: Bootstrap interval, over pairs of blocks.
    """

    ratio: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, a: Values, b: Values, confidence: float) -> Estimate:
        """From the blocks of both sides; number i of one belongs to number i of the other."""
        return cls(median(b) / median(a), ratio_interval(a, b, confidence))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.ratio:.3f} ({low:.3f} to {high:.3f})"

    def contradicts(self, other: Estimate, width: float) -> bool:
        """No value is in both intervals, and the ratios differ by more than ``width``."""
        (low, high), (other_low, other_high) = self.interval, other.interval
        apart = high < other_low or other_high < low
        return apart and abs(self.ratio / other.ratio - 1) > width


@dataclass(frozen=True)
class Use:
    """How one side used the machine while its steps were timed.

    Attributes:
        cpu_seconds: CPU time of a step, all threads together: the median over blocks. None where
            the system's clock of it is too coarse, or an older revision does not tell.
        waited: Time in which a thread was ready to run and had no core, all threads together, as a
            share of the time by the clock. None where unknown.
        involuntary: Involuntary context switches per block, on average.
        voluntary: Voluntary ones.
    """

    cpu_seconds: float | None = None
    waited: float | None = None
    involuntary: float = 0.0
    voluntary: float = 0.0

    @classmethod
    def of(cls, blocks: Sequence[Block], threads: int) -> Use:
        """From all blocks of a side."""
        seconds = sum(block.seconds for block in blocks)
        cpu = cpu_seconds(blocks)
        involuntary = sum(block.involuntary for block in blocks)
        delays = [block.delay_seconds for block in blocks if block.delay_seconds is not None]
        waited = None
        if len(delays) == len(blocks):
            waited = sum(delays) / seconds
            if threads == 1 and cpu is not None:  # it may also have waited between two readings
                waited = max(0.0, min(waited, 1 - sum(cpu) / seconds))
        elif threads == 1 and cpu is not None:
            # What is not on the core waits: for a core, if anything took it away, or by choice.
            waited = max(0.0, 1 - sum(cpu) / seconds) if involuntary else 0.0
        return cls(
            cpu_seconds=None if cpu is None else median(cpu),
            waited=waited,
            involuntary=involuntary / len(blocks),
            voluntary=sum(block.voluntary for block in blocks) / len(blocks),
        )

    @classmethod
    def together(cls, uses: Sequence[Use]) -> Use:
        """Of several processes: the median of each figure, unknown where one does not know it."""
        cpu = [use.cpu_seconds for use in uses if use.cpu_seconds is not None]
        waited = [use.waited for use in uses if use.waited is not None]
        return cls(
            cpu_seconds=median(cpu) if len(cpu) == len(uses) else None,
            waited=median(waited) if len(waited) == len(uses) else None,
            involuntary=median(use.involuntary for use in uses),
            voluntary=median(use.voluntary for use in uses),
        )


def cpu_seconds(blocks: Sequence[Block]) -> list[float] | None:
    """CPU time of a step in every block; None where one is not known or not above 0."""
    known = [block.cpu_seconds for block in blocks if block.cpu_seconds]
    return known if len(known) == len(blocks) else None


@dataclass(frozen=True)
class Judgement:
    """Ratios of two sides, and whether that of the clock is to be believed.

    Attributes:
        wall: By the clock.
        cpu: Of CPU time; None where a side does not know it.
        uses: How A and B used the machine.
        doubt: Why ``wall`` is not to be believed; empty where nothing speaks against it.
    """

    wall: Estimate
    cpu: Estimate | None
    uses: tuple[Use, Use]
    doubt: str = ""


def judge(
    a: Sequence[Block], b: Sequence[Block], *, threads: int, width: float, confidence: float
) -> Judgement:
    """Judge the blocks of two sides.

    Args:
        a: Blocks of the side that the other is compared with.
        b: Those of the other; number i belongs to number i of ``a``.
        threads: For operators.
        width: Ratios that differ by less than this fraction do not contradict each other.
        confidence: Of the intervals.

    Raises:
        ValueError: As :func:`trainfit.bench.statistics.ratio_interval`.
    """
    seconds_a, seconds_b = ([block.seconds for block in side] for side in (a, b))
    wall = Estimate.of(seconds_a, seconds_b, confidence)
    cpu_a, cpu_b = cpu_seconds(a), cpu_seconds(b)
    cpu = None
    if cpu_a is not None and cpu_b is not None:
        cpu = Estimate.of(cpu_a, cpu_b, confidence)
    uses = Use.of(a, threads), Use.of(b, threads)
    return Judgement(wall, cpu, uses, doubt(wall, cpu, uses, threads=threads, width=width))


def doubt(
    wall: Estimate,
    cpu: Estimate | None,
    uses: tuple[Use, Use],
    *,
    threads: int,
    width: float,
    names: tuple[str, str] = ("A", "B"),
) -> str:
    """Say why a ratio by the clock is not to be believed.

    Args:
        wall: That ratio.
        cpu: The ratio of CPU time, where it is known.
        uses: How the two sides used the machine.
        threads: For operators.
        width: What differs by less than this fraction does not count.
        names: What the sides are called.

    Returns:
        The reason in words; empty where there is none, and where nothing is known.
    """
    waited_a, waited_b = (use.waited or 0.0 for use in uses)
    shares = " and ".join(
        f"{_share(use)} of a step ({name})" for use, name in zip(uses, names, strict=True)
    )
    said = f"the machine was busy: {shares} went by in waiting for a core"
    if threads == 1 and cpu is not None:
        if max(waited_a, waited_b) <= width or not wall.contradicts(cpu, width):
            return ""
        return f"{said}; by the clock the ratio is {wall}, by CPU time {cpu}"
    if max(waited_a, waited_b) <= BUSY:
        return ""
    # Beside a side that waited, one that does not tell may have done nothing else.
    waited_a, waited_b = (1.0 if use.waited is None else use.waited for use in uses)
    low = wall.ratio * _rest(waited_b)
    high = wall.ratio / _rest(waited_a) if waited_a < 1 else inf
    if low >= wall.interval[0] * (1 - width) and high <= wall.interval[1] * (1 + width):
        return ""
    most = f"anything from {low:.2f} to {high:.2f}" if high < inf else f"anything above {low:.2f}"
    return f"{said}; by the clock the ratio is {wall}, and without the waiting it may be {most}"


def _share(use: Use) -> str:
    return "an unknown part" if use.waited is None else f"{100 * use.waited:.0f} %"


def _rest(waited: float) -> float:
    """What is left of a step's time when all waiting is taken off; threads wait side by side."""
    return max(0.0, 1 - waited)
