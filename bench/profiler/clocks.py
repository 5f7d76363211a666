"""Clocks that borders of phases and steps are read from, and the observer that reads them.

A clock notes an instant cheaply and says afterwards how much time lay between two. On a GPU an
instant is an event in the stream of work, which has no time before the GPU has come to it; so time
is asked for after a step, never inside a phase.

Verified so far for CUDA: the order of calls, with a stand-in for events. Not yet run on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch

from trainfit.algorithms import Category
from trainfit.bench.profiler.fold import with_prefixes


class Clock(Protocol):
    """Something that notes instants of a step.

    Attributes:
        name: What a record calls it.
    """

    name: str

    def now(self) -> Any:
        """Note this instant."""

    def settle(self) -> None:
        """Wait until every instant that was noted has come."""

    def seconds(self, start: Any, end: Any) -> float:
        """Seconds from one noted instant to another; only after :meth:`settle`."""


class HostClock:
    """The monotonic clock of the host, for steps that run on the CPU."""

    name = "perf_counter"
    now = staticmethod(time.perf_counter)  # not wrapped: it is read at every phase border

    def settle(self) -> None:
        """Nothing to wait for: on a CPU a step has ended when it returns."""

    def seconds(self, start: float, end: float) -> float:
        """The difference."""
        return end - start


class CudaClock:
    """Events in the current stream of the current CUDA device, read after synchronising.

    What it times is the GPU's progress through the stream: a border is passed when all work that
    was queued before it has ended.

    Args:
        event: Makes one event; a stand-in for tests.
        synchronize: Waits for all queued work; a stand-in for tests.
    """

    name = "cuda_events"

    def __init__(
        self,
        event: Callable[[], Any] = lambda: torch.cuda.Event(enable_timing=True),
        synchronize: Callable[[], None] = torch.cuda.synchronize,
    ) -> None:
        self._event = event
        self._synchronize = synchronize

    def now(self) -> Any:
        """Queue an event."""
        event = self._event()
        event.record()
        return event

    def settle(self) -> None:
        """Wait for all queued work."""
        self._synchronize()

    def seconds(self, start: Any, end: Any) -> float:
        """From one event to the other; CUDA counts milliseconds."""
        return float(start.elapsed_time(end)) / 1e3


def clock_for(x: torch.Tensor) -> Clock:
    """The clock of the device that a batch lies on."""
    return CudaClock() if x.is_cuda else HostClock()


class StepTimer:
    """An observer that times one step after another and the phases inside it.

    Time in a phase counts in every phase around it, and in those it refines:
    ``forward.positive`` counts in ``forward`` too, once.

    Args:
        clock: What borders are read from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.now
        self._borders: list[tuple[str, Any]] = []  # a name where a phase begins, "" where one ends

    def enter(self, name: str) -> None:
        """A phase begins."""
        self._borders.append((name, self._now()))

    def leave(self, name: str) -> None:
        """A phase ends."""
        self._borders.append(("", self._now()))

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """Not a matter of time."""

    def time(self, step: Callable[[], object]) -> tuple[float, dict[str, float]]:
        """Run a step; returns its seconds, and seconds by phase, summed over its visits."""
        self._borders.clear()
        self._clock.settle()
        start = self._now()
        step()
        end = self._now()
        self._clock.settle()
        return self._clock.seconds(start, end), self._phases()

    def _phases(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        begun: list[tuple[tuple[str, ...], Any]] = []  # what a phase counts in, and since when
        for name, instant in self._borders:
            if name:
                own = _prefixes(name)
                for outer, _ in begun:
                    own = tuple(each for each in own if each not in outer)
                begun.append((own, instant))
            else:
                names, since = begun.pop()
                seconds = self._clock.seconds(since, instant)
                for each in names:
                    spent[each] = spent.get(each, 0.0) + seconds
        return spent


@cache
def _prefixes(name: str) -> tuple[str, ...]:
    """A phase and those it refines."""
    return tuple(with_prefixes([name]))
