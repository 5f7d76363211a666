"""Stretches of time with a sensor read all along: one without steps, and windows of many steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from trainfit.algorithms import Category
from trainfit.algorithms.phases import observing
from trainfit.bench.sensors.base import Sensor
from trainfit.bench.sensors.pacing import Timebase
from trainfit.bench.sensors.trace import LEAST_INTERVALS, Broken, Curve, Trace

TOO_SHORT = "is shorter than ten sampling intervals"


@dataclass(frozen=True)
class EnergyLimits:
    """How long to measure.

    Attributes:
        windows: Stretches of steps; the interval of the mean is over them.
        window_seconds: Each lasts this long, and at least ``window_intervals``; so does idling.
        window_intervals: In sampling intervals of the sensor. More than ten, so that one of them is
            clearly less than a tenth of a window.
        cap_seconds: This long after the first step of the first window no step begins.
        warmup_steps: Before the first window.
    """

    windows: int = 5
    window_seconds: float = 1.0
    window_intervals: int = 15
    cap_seconds: float = 30.0
    warmup_steps: int = 3


Span = tuple[str, float, float]
"""A phase, and when it began and ended."""


@dataclass
class _Phases:
    """Notes when each phase of a window begins and ends; inner phases count in outer ones."""

    time: Timebase
    spans: list[Span] = field(default_factory=list)
    _open: list[float] = field(default_factory=list)

    def enter(self, name: str) -> None:
        """A phase begins."""
        self._open.append(self.time.clock())

    def leave(self, name: str) -> None:
        """A phase ends."""
        self.spans.append((name, self._open.pop(), self.time.clock()))

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """Not a matter of energy."""


@dataclass(frozen=True)
class Window:
    """Steps back to back, and the energy against time while they ran."""

    curve: Curve
    start: float
    end: float
    steps: int
    spans: list[Span]

    @property
    def seconds(self) -> float:
        """From the start of the first step to the end of the last."""
        return self.end - self.start

    def joules_per_step(self, rails: tuple[str, ...], idle_watts: float = 0.0) -> float:
        """Of some rails together, less an idle power."""
        spent = float(self.curve.spent(rails, self.start, self.end)[0])
        return (spent - idle_watts * self.seconds) / self.steps


def _seconds(sensor: Sensor, limits: EnergyLimits) -> float:
    """How long a window lasts."""
    return max(limits.window_seconds, limits.window_intervals * sensor.interval_seconds)


def watch_idle(sensor: Sensor, limits: EnergyLimits, time: Timebase) -> dict[str, float] | Broken:
    """Power of every rail in watts while nothing is done, over the length of a window."""
    trace = Trace(sensor)
    trace.take()
    with time.every(sensor.interval_seconds, trace.take):
        time.sleep(min(_seconds(sensor, limits), limits.cap_seconds))
    trace.take()
    curve = trace.curve(steady=True)
    if isinstance(curve, Broken):
        return Broken(f"without steps: {curve.reason}", curve.gone)
    lasted = float(curve.times_T[-1] - curve.times_T[0])
    return {rail: float(joules_T[-1]) / lasted for rail, joules_T in curve.joules.items()}


def watch_steps(
    step: Callable[[], None],
    finish: Callable[[], None],
    sensor: Sensor,
    limits: EnergyLimits,
    time: Timebase,
) -> list[Window] | Broken:
    """As many windows as the time allows, if all of them can be believed.

    Args:
        step: One training step.
        finish: Waits until the work of all steps is done.
        sensor: Read once per interval, before the first step of a window and after its last.
        limits: How many windows, and how long.
        time: The clock.
    """
    seconds = _seconds(sensor, limits)
    stop_at = time.clock() + limits.cap_seconds
    done: list[Window] = []
    while len(done) < limits.windows and (not done or time.clock() < stop_at):
        trace, phases, steps = Trace(sensor), _Phases(time), 0
        trace.take()
        with time.every(sensor.interval_seconds, trace.take), observing(phases):
            start = end = time.clock()
            while not steps or (end - start < seconds and end < stop_at):
                step()
                steps += 1
                end = time.clock()
            finish()
            end = time.clock()
        trace.take()
        if end - start < LEAST_INTERVALS * sensor.interval_seconds:
            if done:  # the time was up in the middle of a further window
                break
            return Broken(
                f"a window of {end - start:.3g} s {TOO_SHORT} of {sensor.interval_seconds:g} s"
            )
        curve = trace.curve()
        if isinstance(curve, Broken):
            return curve
        done.append(Window(curve, start, end, steps, phases.spans))
    return done
