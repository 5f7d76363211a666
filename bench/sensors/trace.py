"""Readings of a stretch of time: taken, checked for what sensors do when they fail, added up.

Shape suffixes: T readings, I intervals between them (T - 1), S spans of time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainfit.bench.sensors.base import Reading, Sensor, Unavailable, one_line
from trainfit.bench.sensors.rails import LEAST_WATTS

LEAST_INTERVALS = 10
"""A stretch of fewer sampling intervals says too little; what it shows is not valid."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Broken:
    """Readings that no figure may be made of.

    ``gone``: there is no sensor to speak of. Otherwise there is one, but it cannot be believed.
    """

    reason: str
    gone: bool = False


@dataclass(frozen=True)
class Curve:
    """Energy of every rail against time, in joules from the first reading on."""

    times_T: Floats
    joules: dict[str, Floats]
    left_out: tuple[str, ...] = ()
    """Rails that are no part of the total and did not read well."""

    def spent(self, rails: Sequence[str], start_S: ArrayLike, end_S: ArrayLike) -> Floats:
        """Joules of some rails together in spans of time, shape (S,).

        The energy of an interval between two readings counts as spread evenly over it.
        """
        total_T = np.sum([self.joules[rail] for rail in rails], axis=0)
        start, end = np.atleast_1d(start_S), np.atleast_1d(end_S)
        spent: Floats = np.interp(end, self.times_T, total_T)
        spent -= np.interp(start, self.times_T, total_T)
        return spent

    def intervals_touched(self, start_S: Floats, end_S: Floats) -> int:
        """How many intervals between readings overlap at least one of the spans."""
        count = len(self.times_T) - 1
        first_S = np.clip(np.searchsorted(self.times_T, start_S, "right") - 1, 0, count - 1)
        last_S = np.clip(np.searchsorted(self.times_T, end_S, "left") - 1, 0, count - 1)
        change = np.zeros(count + 1)
        np.add.at(change, first_S, 1)
        np.add.at(change, last_S + 1, -1)
        return int(np.count_nonzero(np.cumsum(change[:-1])))


class Trace:
    """Collects readings of a sensor; may be asked to from more than one thread."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._lock = threading.Lock()
        self._readings: list[Reading | Unavailable] = []

    def take(self) -> None:
        """Read the sensor now."""
        with self._lock:
            try:
                reading = self._sensor.read()
            except Exception as error:  # a sensor that breaks its contract must not end a run
                reading = Unavailable(f"{type(error).__name__}: {one_line(error)}")
            self._readings.append(reading)

    def curve(self, *, steady: bool = False) -> Curve | Broken:
        """Energy against time, or why there is none; arguments as for :func:`make_curve`."""
        return make_curve(self._readings, self._sensor.total, steady=steady)


def make_curve(
    readings: Sequence[Reading | Unavailable], total: Sequence[str], *, steady: bool = False
) -> Curve | Broken:
    """Check readings and add them up.

    A power that was read stands for the time since the reading before it.

    Args:
        readings: In the order in which they were taken.
        total: The rails whose sum is the figure. Trouble with any other rail leaves that rail out.
        steady: A power may read the same all the time, as that of a machine at rest does where a
            chip rounds it to tens of milliwatts. A counter must move nevertheless.
    """
    kept: list[Reading] = []
    for reading in readings:
        if isinstance(reading, Unavailable):
            return Broken(f"the sensor stopped reading: {reading.reason}", gone=True)
        if any(rail not in reading.values for rail in total):
            return Broken("the sensor stopped reading one of its rails", gone=True)
        if not kept or reading.at_seconds > kept[-1].at_seconds:
            kept.append(reading)
    if len(kept) <= LEAST_INTERVALS:
        return Broken(
            f"only {len(kept)} readings were taken; fewer than ten sampling intervals between them "
            f"say too little"
        )
    times_T = np.array([reading.at_seconds for reading in kept])
    counts = kept[0].joules is not None
    joules: dict[str, Floats] = {}
    left_out = []
    for rail in kept[0].values:
        values_T = np.array([reading.values.get(rail, np.nan) for reading in kept])
        wrong = _wrong(rail, values_T, counts=counts)
        if wrong and rail in total:
            return Broken(wrong)
        if wrong:
            left_out.append(rail)
        elif counts:
            joules[rail] = values_T - values_T[0]
        else:
            joules[rail] = np.concatenate([[0.0], np.cumsum(values_T[1:] * np.diff(times_T))])
    curve = Curve(times_T, joules, tuple(left_out))
    stuck = None if steady and not counts else _stuck(kept, total, counts=counts)
    return stuck or _jumped(curve, total) or curve


def _wrong(rail: str, values_T: Floats, *, counts: bool) -> str | None:
    """Values that cannot be; a power a little below zero can, as the offset of its monitor."""
    least = 0.0 if counts else LEAST_WATTS
    bad = values_T[~(np.isfinite(values_T) & (values_T >= least))]
    if len(bad):
        return f"{rail} read {bad[0]:g} {'J' if counts else 'W'}"
    back_I = -np.diff(values_T)
    if counts and back_I.max() > 0:
        return f"the counter of {rail} went back by {back_I.max():g} J, which is no wrap"
    return None


def _stuck(kept: Sequence[Reading], total: Sequence[str], *, counts: bool) -> Broken | None:
    """A sensor that always shows the same shows nothing.

    A counter always moves, since even an idle rail draws power. A power may repeat itself, so all
    rails of the total must.
    """
    still = [rail for rail in total if len({reading.values[rail] for reading in kept}) == 1]
    lasted = kept[-1].at_seconds - kept[0].at_seconds
    seen = f"in {len(kept)} readings over {lasted:.3g} s"
    if counts and still:
        return Broken(f"stuck: the counter of {', '.join(still)} did not move {seen}", gone=True)
    if len(still) == len(total):
        shown = ", ".join(f"{rail} {kept[0].values[rail]:g} W" for rail in still)
        return Broken(f"stuck: {shown}, the same {seen}", gone=True)
    return None


def _jumped(curve: Curve, total: Sequence[str]) -> Broken | None:
    """One short interval cannot hold most of the energy."""
    times_I = np.diff(curve.times_T)
    joules_I = curve.spent(total, curve.times_T[:-1], curve.times_T[1:])
    jumps = (joules_I > joules_I.sum() / 2) & (times_I < times_I.sum() / 10)
    if not jumps.any():
        return None
    at = int(np.argmax(jumps))
    return Broken(
        f"jumped: {joules_I[at]:.3g} J of {joules_I.sum():.3g} J in {times_I[at]:.3g} s "
        f"of {times_I.sum():.3g} s"
    )
