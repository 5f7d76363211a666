"""Energy of a step, by a sensor: idle power first, then windows of many steps back to back.

What cannot be believed is no figure: too short a window, a sensor that is stuck, that jumps, or
that goes away. The record then says which of these it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from trainfit.algorithms import Algorithm
from trainfit.bench.profiler.energy.phases import split_over_phases
from trainfit.bench.profiler.energy.windows import (
    TOO_SHORT,
    EnergyLimits,
    Window,
    watch_idle,
    watch_steps,
)
from trainfit.bench.records.schema import Bounds, Energy, Evidence
from trainfit.bench.sensors.base import Sensor, Unavailable
from trainfit.bench.sensors.pacing import REAL_TIME, Timebase
from trainfit.bench.sensors.rails import UNKNOWN_TOTAL
from trainfit.bench.sensors.trace import LEAST_INTERVALS, Broken
from trainfit.bench.statistics import mean_interval

__all__ = ["EnergyLimits", "measure_energy"]

DEFAULT_LIMITS = EnergyLimits()


def measure_energy(
    algorithm: Algorithm[Any],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    threads: int,
    sensor: Sensor | Unavailable,
    subtract_idle: bool = False,
    limits: EnergyLimits = DEFAULT_LIMITS,
    timebase: Timebase = REAL_TIME,
) -> Energy:
    """Measure the energy of steps of the stage that is entered.

    The sensor's trouble never raises, it becomes the record's reason; what a step raises is
    raised. The sensor is left open.

    Args:
        algorithm: Built, and at the stage to measure.
        x: One batch of inputs, float32, shape (batch, features).
        y: Its labels, int64, shape (batch,).
        threads: Threads for operators; put back afterwards.
        sensor: From ``open_sensor``; its readings carry times of ``timebase``.
        subtract_idle: Take the power without steps off every figure.
        limits: How long to measure.
        timebase: The clock, ``perf_counter``; tests put their own.
    """
    if isinstance(sensor, Unavailable):
        return Energy(evidence=Evidence.UNAVAILABLE, reason=sensor.reason)
    if (needed := LEAST_INTERVALS * sensor.interval_seconds) > limits.cap_seconds:
        short = f"a window of {limits.cap_seconds:g} s, all the time there is, {TOO_SHORT}"
        return _without_figure(
            sensor, Broken(f"{short} of {sensor.interval_seconds:g} s; {needed:g} s are needed")
        )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        idle = watch_idle(sensor, limits, timebase)
        if isinstance(idle, Broken):
            return _without_figure(sensor, idle)
        for _ in range(limits.warmup_steps):
            algorithm.step(x, y)
        windows = watch_steps(
            lambda: algorithm.step(x, y),
            # The host runs ahead of a GPU.
            torch.cuda.synchronize if x.is_cuda else lambda: None,
            sensor,
            limits,
            timebase,
        )
    finally:
        torch.set_num_threads(before)
    if isinstance(windows, Broken):
        return _without_figure(sensor, windows)
    return _record(sensor, idle, windows, subtract_idle=subtract_idle, on_gpu=x.is_cuda)


def _record(
    sensor: Sensor,
    idle: dict[str, float],
    windows: list[Window],
    *,
    subtract_idle: bool,
    on_gpu: bool,
) -> Energy:
    idle_watts = sum(idle[rail] for rail in sensor.total)
    taken_off = idle_watts if subtract_idle else 0.0
    each = [window.joules_per_step(sensor.total, taken_off) for window in windows]
    if min(each) <= 0:
        loaded = min(w.joules_per_step(sensor.total) * w.steps / w.seconds for w in windows)
        return _without_figure(
            sensor,
            Broken(f"{idle_watts:.3g} W idle, {loaded:.3g} W with steps: no energy is left"),
        )
    rails, left_out = _rails(sensor, idle, windows, subtract_idle=subtract_idle)
    phases, split = split_over_phases(windows, sensor, idle_watts=taken_off, on_gpu=on_gpu)
    known = UNKNOWN_TOTAL not in sensor.coverage
    note = f"; left out, since they do not read well: {', '.join(left_out)}" if left_out else ""
    return Energy(
        evidence=Evidence.SENSOR,
        sensor=sensor.name,
        rails=list(sensor.rails),
        coverage=sensor.coverage + note,
        joules_per_step=float(np.mean(each)),
        joules_per_step_interval=_interval(each),
        rail_joules_per_step=rails,
        idle_watts=idle_watts,
        idle_subtracted=subtract_idle,
        sampling_interval_seconds=sensor.interval_seconds,
        window_seconds=float(np.mean([window.seconds for window in windows])),
        windows=len(windows),
        steps=sum(window.steps for window in windows),
        valid=known,
        reason=None if known else sensor.coverage,
        phases=phases,
        phase_split=split,
    )


def _rails(
    sensor: Sensor, idle: dict[str, float], windows: list[Window], *, subtract_idle: bool
) -> tuple[dict[str, float], list[str]]:
    """Joules per step of every rail that read well all the time, and the other rails."""
    good, left_out = {}, []
    for rail in sensor.rails:
        if rail in idle and all(rail in window.curve.joules for window in windows):
            taken_off = idle[rail] if subtract_idle else 0.0
            each = [window.joules_per_step((rail,), taken_off) for window in windows]
            good[rail] = float(np.mean(each))
        else:
            left_out.append(rail)
    return good, left_out


def _interval(each: list[float]) -> Bounds | None:
    """Of one window there is none."""
    if len(each) < 2:
        return None
    low, high = mean_interval(each)
    return Bounds(low=low, high=high)


def _without_figure(sensor: Sensor, broken: Broken) -> Energy:
    return Energy(
        evidence=Evidence.UNAVAILABLE if broken.gone else Evidence.SENSOR,
        sensor=sensor.name,
        rails=list(sensor.rails),
        coverage=sensor.coverage,
        sampling_interval_seconds=sensor.interval_seconds,
        reason=broken.reason,
    )
