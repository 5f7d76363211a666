"""The energy of a window shared out over the phases of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from trainfit.bench.records.schema import PhaseEnergy
from trainfit.bench.sensors.trace import LEAST_INTERVALS

if TYPE_CHECKING:
    from trainfit.bench.profiler.energy.windows import Window
    from trainfit.bench.sensors.base import Sensor
    from trainfit.bench.sensors.trace import Floats

Split = Literal["sampled", "time_share"]

_ON_GPU = (
    "a GPU goes on working after the call that started it has returned; "
    "the host's clock cannot tell its phases apart"
)


def split_over_phases(
    windows: Sequence[Window],
    sensor: Sensor,
    *,
    idle_watts: float,
    on_gpu: bool,
) -> tuple[dict[str, PhaseEnergy], Split | None]:
    """Joules of each phase per step, and how they were found.

    Phases longer than a sampling interval are seen by the sensor: ``sampled``. Where no phase is,
    all share the energy of their window by time: ``time_share``. A shorter phase among longer ones
    takes its share by time of the sampling intervals that it lies in, and its ``reason`` says so.

    Args:
        windows: At least one.
        sensor: Where they come from.
        idle_watts: A power to take off.
        on_gpu: The steps ran on a GPU; then no phase has a figure.

    A phase that was entered for less than ten sampling intervals in all is not valid.
    """
    spans = [_by_phase(window) for window in windows]
    names = list(dict.fromkeys(name for window in spans for name in window))
    if not names:
        return {}, None
    interval = sensor.interval_seconds
    typical = {
        name: float(np.median(np.concatenate([ends - starts for starts, ends in found])))
        for name in names
        if (found := [window[name] for window in spans if name in window])
    }
    split: Split = "sampled" if max(typical.values()) > interval else "time_share"
    phases = {}
    for name in names:
        joules, seconds, samples = 0.0, 0.0, 0
        for window, of_window in zip(windows, spans, strict=True):
            if name not in of_window:
                continue
            starts_S, ends_S = of_window[name]
            spent_seconds = float(np.sum(ends_S - starts_S))
            if split == "sampled":
                spent = float(window.curve.spent(sensor.total, starts_S, ends_S).sum())
            else:
                whole = float(window.curve.spent(sensor.total, window.start, window.end)[0])
                spent = whole * spent_seconds / window.seconds
            joules += (spent - idle_watts * spent_seconds) / window.steps / len(windows)
            seconds += spent_seconds
            samples += window.curve.intervals_touched(starts_S, ends_S)
        short = typical[name] <= interval
        reason = _ON_GPU if on_gpu else _why_not(joules, seconds, interval)
        phases[name] = PhaseEnergy(
            joules=None if reason else joules,
            window_seconds=seconds,
            samples=samples,
            valid=reason is None,
            reason=reason or (_shared(interval, split) if short else None),
        )
    return phases, None if on_gpu else split


def _by_phase(window: Window) -> dict[str, tuple[Floats, Floats]]:
    """Starts and ends of the spans of every phase, shape (S,) each."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, start, end in window.spans:
        found.setdefault(name, []).append((start, end))
    return {
        name: (np.array([start for start, _ in spans]), np.array([end for _, end in spans]))
        for name, spans in found.items()
    }


def _why_not(joules: float, seconds: float, interval: float) -> str | None:
    if seconds < LEAST_INTERVALS * interval:
        return f"{seconds:.3g} s in all are fewer than ten sampling intervals of {interval:g} s"
    if joules <= 0:
        return "no more power than without steps"
    return None


def _shared(interval: float, split: Split) -> str:
    of = "the window" if split == "time_share" else "the sampling intervals it lies in"
    return f"shorter than a sampling interval of {interval:g} s: its share by time of {of}"
