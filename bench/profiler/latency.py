"""Time of a step and of its phases: no tracing, enough steps for the median to settle."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from algorithms import Algorithm, Category
from algorithms.phases import observing

from ..schema import Evidence, Latency, PhaseLatency

_WARMUP_STEPS = 3
_LEAST_STEPS = 20
_MOST_STEPS = 500
_ENOUGH_SECONDS = 0.5


class _Clock:
    """Adds up the time spent in each phase of a step; inner phases count in outer ones."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._open: list[tuple[str, float]] = []

    def enter(self, name: str) -> None:
        """A phase begins."""
        self._open.append((name, time.perf_counter()))

    def leave(self, name: str) -> None:
        """A phase ends."""
        now = time.perf_counter()
        _, since = self._open.pop()
        self.spent[name] += now - since

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """Not a matter of time."""


def measure_latency(
    algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor, *, threads: int
) -> Latency:
    """Time steps of the stage that is entered, with ``threads`` threads and oneDNN as it is.

    Args:
        algorithm: Built, and at the stage to time.
        x: One batch of inputs, float32, shape (batch, features).
        y: Its labels, int64, shape (batch,).
        threads: Threads for operators; put back afterwards.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for _ in range(_WARMUP_STEPS):
            algorithm.step(x, y)
        steps: list[float] = []
        phases: defaultdict[str, list[float]] = defaultdict(list)
        began = time.perf_counter()
        while len(steps) < _MOST_STEPS and (
            len(steps) < _LEAST_STEPS or time.perf_counter() - began < _ENOUGH_SECONDS
        ):
            clock = _Clock()
            with observing(clock):
                start = time.perf_counter()
                algorithm.step(x, y)
                steps.append(time.perf_counter() - start)
            for name, seconds in clock.spent.items():
                phases[name].append(seconds)
    finally:
        torch.set_num_threads(before)
    median, iqr = _spread(steps)
    return Latency(
        evidence=Evidence.CLOCK,
        step_seconds_median=median,
        step_seconds_iqr=iqr,
        steps=len(steps),
        threads=threads,
        onednn=bool(torch._C._get_mkldnn_enabled()),
        phases={
            name: PhaseLatency(seconds_median=m, seconds_iqr=i)
            for name, (m, i) in ((n, _spread(s)) for n, s in phases.items())
        },
    )


def _spread(values: list[float]) -> tuple[float, float]:
    """Median and interquartile range."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(middle), float(high - low)
