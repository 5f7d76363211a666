"""Blocks of two sides in turns, A B B A, until the ratio of their times is known well enough.

Who takes the steps is not known here: :mod:`trainfit.bench.latency_comparison.paired` has two
processes for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from trainfit.bench.latency_comparison.blocks import Block
from trainfit.bench.latency_comparison.processes import WARM_UP
from trainfit.bench.latency_comparison.waiting import Judgement, judge

BLOCK_SECONDS = 0.03
"""On a core. Long against a turn's beginning and end, short against what drifts."""

LONGEST_BLOCK_SECONDS = 0.3
"""How long the blocks of the shorter step become, beside a step that takes longer than a block."""

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
        most_seconds: Cap on the time that blocks take together, by the clock, with their first
            steps that are not timed.
        timeout_seconds: Cap on everything, loading included; a side still running then is killed.
    """

    width: float = 0.02
    confidence: float = 0.95
    most_pairs: int = 400
    most_seconds: float = 30.0
    timeout_seconds: float = 600.0


DEFAULT_LIMITS = BlockLimits()

Turn = Callable[[int, int], Block]
"""Side (0 or 1) and number of steps, to what they took."""


@dataclass
class Blocks:
    """Blocks of both sides.

    Attributes:
        steps: Steps in a block of each side.
        taken: Per side and pair: what a block took.
        stopped: Why there are no more.
    """

    steps: tuple[int, ...]
    taken: tuple[list[Block], list[Block]] = field(default_factory=lambda: ([], []))
    stopped: PairedStop = PairedStop.SETTLED

    @property
    def seconds(self) -> tuple[list[float], list[float]]:
        """Per side and pair: seconds of a step by the clock."""
        a, b = self.taken
        return [block.seconds for block in a], [block.seconds for block in b]

    def judge(self, limits: BlockLimits, threads: int) -> Judgement:
        """What they say so far."""
        return judge(*self.taken, threads=threads, width=limits.width, confidence=limits.confidence)


def take_blocks(
    turn: Turn, limits: BlockLimits, progress: Callable[[str], None], threads: int = 1
) -> Blocks:
    """Warm both sides up, then take pairs of blocks until the ratio is known well enough.

    A narrow interval that is in doubt is not enough: what keeps the machine busy may end.

    Args:
        turn: Gives one side its turn.
        limits: When to stop.
        progress: Hears in words how far it is.
        threads: For operators.
    """
    progress("warming up")
    blocks = Blocks(_calibrate(turn, threads))
    spent, next_check = 0.0, LEAST_PAIRS
    known = ""
    while True:
        pair = len(blocks.taken[0])
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            block = turn(side, blocks.steps[side])
            blocks.taken[side].append(block)
            spent += block.seconds * (1 + blocks.steps[side])  # with the one that is not timed
        pair += 1
        if pair >= next_check and pair % 2 == 0:  # as many began with A as with B
            next_check = int(pair * _CHECK_AGAIN) + 1
            judged = blocks.judge(limits, threads)
            low, high = judged.wall.interval
            if high - low <= limits.width * judged.wall.ratio and not judged.doubt:
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


def _calibrate(turn: Turn, threads: int) -> tuple[int, ...]:
    """Warm both sides up; returns how many steps make a block of each.

    Both blocks need about the same time on a core, so that a busy machine keeps both waiting
    equally long in proportion: what the scheduler grants a process that has slept is the same for
    both, and counts for more in a shorter block.
    """
    costs = []
    for side in (0, 1):
        guess = turn(side, WARM_UP).cost(threads)  # of single steps, so rough
        costs.append(turn(side, max(1, round(BLOCK_SECONDS / guess))).cost(threads))
    return steps_per_block(*costs)


def steps_per_block(*costs: float) -> tuple[int, ...]:
    """How many steps, which cost so much each, make blocks that are equally long."""
    long = min(max(BLOCK_SECONDS, *costs), LONGEST_BLOCK_SECONDS)
    return tuple(max(1, round(long / cost)) for cost in costs)
