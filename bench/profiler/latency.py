"""Time of a step and of its phases: no tracing, steps until the median is known well enough.

How well is asked for: the bootstrap interval of the median is to be at most a fraction ``width`` of
the median wide. It is looked at now and then, after a timed step and before the next one. A cap on
steps and one on seconds end the measurement where the machine is too restless for that; the record
says which of the three it was.

The interval says how far the median of *this* process's steps can be trusted, if its steps are
independent draws. It knows nothing of what differs from one process or machine to another, and
neighbours that come and go make it too narrow: compare workloads with
:mod:`trainfit.bench.latency_comparison.paired`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from trainfit.algorithms import Algorithm
from trainfit.algorithms.phases import observing
from trainfit.bench.environment import cpu_governor
from trainfit.bench.profiler.clocks import Clock, StepTimer, clock_for
from trainfit.bench.profiler.determinism import quiet_collector
from trainfit.bench.records.schema import Bounds, Evidence, Latency, PhaseLatency, Stop
from trainfit.bench.statistics import median_and_iqr, median_interval

WIDTH = 0.02
CONFIDENCE = 0.95

LEAST_STEPS = 20
"""Fewer steps give no interval that means what it says."""

MOST_STEPS = 2000
MOST_SECONDS = 2.0

_FEWEST_STEPS = 5
"""Taken however long they last."""

_LEAST_WARMUP_STEPS, _MOST_WARMUP_STEPS = 3, 50
_FASTER = 0.95
"""A step that takes less than this of the best before it shows that warming up goes on."""

_CHECK_AGAIN, _CHECK_AT_LATEST = 1.25, 100
"""From one look at the interval to the next: so many times the steps, but so many at most."""


def measure_latency(
    algorithm: Algorithm[Any],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    threads: int,
    width: float = WIDTH,
    confidence: float = CONFIDENCE,
    most_steps: int = MOST_STEPS,
    most_seconds: float = MOST_SECONDS,
    clock: Clock | None = None,
) -> Latency:
    """Time steps of the stage that is entered, with ``threads`` threads and oneDNN as it is.

    Args:
        algorithm: Built, and at the stage to time.
        x: One batch of inputs, float32, shape (batch, features); on the device to time.
        y: Its labels, int64, shape (batch,).
        threads: Threads for operators; put back afterwards.
        width: Stop when the interval of the median step is at most this fraction of it wide.
        confidence: Of that interval.
        most_steps: Stop after so many timed steps, at least 5.
        most_seconds: Stop when timed steps have taken so long, after 5 steps at the earliest.
        clock: None takes that of the device that ``x`` lies on.
    """
    clock = clock or clock_for(x)
    times = _Times()
    with _threads(threads), quiet_collector():
        timer = StepTimer(clock)

        def time_step() -> tuple[float, dict[str, float]]:
            return timer.time(lambda: algorithm.step(x, y))

        with observing(timer):
            warmup = warm_up(lambda: time_step()[0], most_seconds)
            stopped = None
            while stopped is None:
                times.add(*time_step())
                stopped = times.stop(width, confidence, most_steps, most_seconds)
    median, iqr = median_and_iqr(times.steps)
    return Latency(
        evidence=Evidence.CLOCK,
        step_seconds_median=median,
        step_seconds_iqr=iqr,
        step_interval=_bounds(times.steps, confidence),
        confidence=confidence,
        asked_width=width,
        stopped=stopped,
        steps=len(times.steps),
        warmup_steps=len(warmup),
        threads=threads,
        onednn=bool(torch._C._get_mkldnn_enabled()),
        clock=clock.name,
        cpu_governor=cpu_governor(),
        phases={name: _phase(seconds, confidence) for name, seconds in times.phases.items()},
    )


def warm_up(time_step: Callable[[], float], most_seconds: float = MOST_SECONDS) -> list[float]:
    """Take steps until they no longer become faster, and at least three.

    That is when three steps in a row have not been faster than the best before them by more than
    a twentieth. A single slow step, which any machine has, does not prolong it.

    Args:
        time_step: Takes a step and returns its seconds.
        most_seconds: Steps that together took longer are not followed by another.

    Returns:
        Seconds of the steps taken.
    """
    steps = [time_step()]
    best, since = steps[0], 0
    while len(steps) < _LEAST_WARMUP_STEPS or (
        since < _LEAST_WARMUP_STEPS
        and len(steps) < _MOST_WARMUP_STEPS
        and sum(steps) < most_seconds
    ):
        steps.append(time_step())
        since = 0 if steps[-1] < _FASTER * best else since + 1
        best = min(best, steps[-1])
    return steps


@dataclass
class _Times:
    """Seconds of the steps so far, and of their phases."""

    steps: list[float] = field(default_factory=list)
    phases: dict[str, list[float]] = field(default_factory=dict)
    _sum: float = 0.0
    _next_check: int = LEAST_STEPS

    def add(self, seconds: float, phases: dict[str, float]) -> None:
        """A step was timed."""
        self.steps.append(seconds)
        self._sum += seconds
        for name, spent in phases.items():
            self.phases.setdefault(name, []).append(spent)

    def stop(
        self, width: float, confidence: float, most_steps: int, most_seconds: float
    ) -> Stop | None:
        """Why no more steps are needed; None if some are."""
        count = len(self.steps)
        if count >= self._next_check:
            self._next_check = min(int(count * _CHECK_AGAIN) + 1, count + _CHECK_AT_LATEST)
            gc.collect(0)  # held during steps; what many of them leave must not pile up
            low, high = median_interval(self.steps, confidence)
            if high - low <= width * median_and_iqr(self.steps)[0]:
                return Stop.SETTLED
        if count >= max(most_steps, _FEWEST_STEPS):
            return Stop.STEPS
        if count >= _FEWEST_STEPS and self._sum >= most_seconds:
            return Stop.SECONDS
        return None


def _phase(seconds: list[float], confidence: float) -> PhaseLatency:
    median, iqr = median_and_iqr(seconds)
    # A phase that a step does not always enter may have been entered once only.
    interval = _bounds(seconds, confidence) if len(seconds) >= _FEWEST_STEPS else None
    return PhaseLatency(seconds_median=median, seconds_iqr=iqr, interval=interval)


def _bounds(seconds: list[float], confidence: float) -> Bounds:
    low, high = median_interval(seconds, confidence)
    return Bounds(low=low, high=high)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
