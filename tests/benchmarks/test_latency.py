"""What timing a step adds to it, and whether another stopwatch finds the same.

``pytest tests/benchmarks/test_latency.py --benchmark-only -o addopts="" -p no:cacheprovider``

Nothing is asserted: a target for time that holds on a busy machine would be no target.
"""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import Any

import pytest
from torch.utils.benchmark import Timer

from tests.benchmarks import conclude, threads
from tests.reference_methods import algorithm_step, batch
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.phases import observing
from trainfit.bench.latency_comparison.blocks import Block, Counters
from trainfit.bench.latency_comparison.turns import BlockLimits, take_blocks
from trainfit.bench.profiler import measure_latency
from trainfit.bench.profiler.clocks import HostClock, StepTimer
from trainfit.bench.statistics import ratio_interval

MODEL = "mlp-784-500-500-10"
ROWS = {"backprop": 64, "forward_forward": 40}
"""So many that a step takes about 5 ms on a core of today."""

OVERHEAD_TARGET, AGREEMENT_TARGET = 1.01, 0.05
ROUNDS, STEPS = 100, 20


@pytest.mark.parametrize("name", ROWS)
def test_a_timed_step_beside_a_plain_one(
    benchmark: Any, request: pytest.FixtureRequest, name: str
) -> None:
    """Everything that timing does counts, also what lies outside of the time that is reported."""
    step = algorithm_step(name, MODEL, ROWS[name]).run
    timer = StepTimer(HostClock())

    def turn(timed: int, steps: int) -> Block:
        steps = max(steps, 3)  # 0 asks for warming up
        if not timed:
            return Block.of(step, steps, Counters())
        with observing(timer):
            return Block.of(lambda: timer.time(step), steps, Counters())

    limits = BlockLimits(width=0.005, most_pairs=600, most_seconds=45)
    with threads(1):
        blocks = benchmark.pedantic(
            lambda: take_blocks(turn, limits, lambda _: None), rounds=1, iterations=1
        )
    plain, timed = (median(each) for each in blocks.seconds)
    low, high = ratio_interval(*blocks.seconds)
    conclude(
        request,
        benchmark,
        plain_step_milliseconds=1e3 * plain,
        timed_over_plain=f"{timed / plain:.4f}",
        timed_over_plain_low=f"{low:.4f}",
        timed_over_plain_high=f"{high:.4f}",
        timed_over_plain_target=OVERHEAD_TARGET,
        blocks=len(blocks.seconds[0]),
        stopped=str(blocks.stopped),
    )


@pytest.mark.parametrize("name", ROWS)
def test_the_cost_of_a_border(benchmark: Any, request: pytest.FixtureRequest, name: str) -> None:
    """The borders of one step without its work: a small figure that noise cannot drown."""
    step = algorithm_step(name, MODEL, ROWS[name]).run
    borders: list[tuple[str, str]] = []

    class Writes:
        def enter(self, phase: str) -> None:
            borders.append(("enter", phase))

        def leave(self, phase: str) -> None:
            borders.append(("leave", phase))

        def tag(self, *_: object) -> None:
            pass

    with observing(Writes()):
        step()
    timer = StepTimer(HostClock())

    def replay() -> None:
        for kind, phase in borders:
            (timer.enter if kind == "enter" else timer.leave)(phase)

    inside, outside = [], []
    for _ in range(1000):
        start = time.perf_counter()
        seconds, _ = timer.time(replay)
        outside.append(time.perf_counter() - start - seconds)
        inside.append(seconds)
    benchmark.pedantic(lambda: timer.time(replay), rounds=10)
    conclude(
        request,
        benchmark,
        borders=len(borders),
        microseconds_inside_a_step=1e6 * median(inside),
        microseconds_after_it=1e6 * median(outside),
        of_a_5_ms_step=median(inside) / 5e-3,
        of_a_5_ms_step_target=OVERHEAD_TARGET - 1,
    )


def test_beside_the_timer_of_torch(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """The median of our steps and that of ``torch.utils.benchmark``, in turns, on the same step.

    Short turns, so that what the machine does meanwhile disturbs both alike.
    """
    algorithm = build_algorithm("backprop", MODEL)
    x, y = batch(MODEL, ROWS["backprop"])
    timer = Timer("step(x, y)", globals={"step": algorithm.step, "x": x, "y": y}, num_threads=1)
    ours: list[float] = []
    theirs: list[float] = []

    def own() -> None:
        found = measure_latency(algorithm, x, y, threads=1, most_steps=STEPS)
        assert found.step_seconds_median is not None
        ours.append(found.step_seconds_median)

    def other() -> None:
        theirs.append(timer.blocked_autorange(min_run_time=5e-3 * STEPS).median)

    gc.collect()
    gc.freeze()  # as in a workload's own process; the collector runs before every measurement

    def both() -> None:
        for pair in range(ROUNDS):
            for take in (own, other) if pair % 2 == 0 else (other, own):
                take()

    with threads(1):
        benchmark.pedantic(both, rounds=1, iterations=1)
    gc.unfreeze()
    low, high = ratio_interval(theirs, ours)
    conclude(
        request,
        benchmark,
        ours_milliseconds=1e3 * median(ours),
        theirs_milliseconds=1e3 * median(theirs),
        ours_over_theirs=f"{median(ours) / median(theirs):.4f}",
        ours_over_theirs_low=f"{low:.4f}",
        ours_over_theirs_high=f"{high:.4f}",
        within_target=AGREEMENT_TARGET,
        rounds=ROUNDS,
        steps_per_round=STEPS,
    )
