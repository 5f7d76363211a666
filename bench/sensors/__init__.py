"""Sensors of energy and power: what there is on this machine, and why the others are not.

Nothing here starts a process or a thread, loads a library or touches hardware before a sensor is
opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainfit._text import nearest
from trainfit.bench.sensors.base import Reading, Sensor, SensorError, Unavailable
from trainfit.bench.sensors.jetson import open_jetson
from trainfit.bench.sensors.replay import ReplaySensor
from trainfit.bench.sensors.zeus_sensors import open_nvml, open_rapl

__all__ = [
    "Reading",
    "Sensor",
    "SensorError",
    "SensorFacts",
    "Unavailable",
    "open_sensor",
    "sensor_names",
    "survey",
]

_OPENERS: dict[str, Callable[[], Sensor | Unavailable]] = {
    "jetson": open_jetson,
    "rapl": open_rapl,
    "nvml": open_nvml,
}
_AUTO = ("jetson", "rapl")
"""In this order. Not the GPU: steps run on the processor unless they are told otherwise."""
_REPLAY = "replay:"


@dataclass(frozen=True)
class SensorFacts:
    """What a sensor that reads says of itself; ``watts`` by rail, None where it counts energy."""

    rails: tuple[str, ...]
    total: tuple[str, ...]
    coverage: str
    interval_seconds: float
    watts: dict[str, float] | None


def sensor_names() -> tuple[str, ...]:
    """What :func:`open_sensor` takes."""
    return ("auto", *_OPENERS, f"{_REPLAY}FILE", "none")


def open_sensor(name: str) -> Sensor | Unavailable:
    """A sensor that reads, or why there is none.

    Args:
        name: ``jetson``, ``rapl``, ``nvml``; ``replay:FILE`` for a recording; ``auto`` for the
            first of jetson and rapl that reads; ``none`` for none.

    Raises:
        SensorError: There is no sensor of this name, or the recording cannot be replayed.
    """
    if name == "none":
        return Unavailable("no sensor was asked for")
    if name.startswith(_REPLAY):
        return ReplaySensor(Path(name.removeprefix(_REPLAY)))
    if name in _OPENERS:
        return _OPENERS[name]()
    if name != "auto":
        raise SensorError(f"there is no sensor {name!r}; {nearest(name, sensor_names())}")
    reasons = []
    for candidate in _AUTO:
        found = _OPENERS[candidate]()
        if not isinstance(found, Unavailable):
            return found
        reasons.append(f"{candidate}: {found.reason}")
    return Unavailable("; ".join(reasons))


def survey() -> list[tuple[str, SensorFacts | Unavailable]]:
    """Every sensor that hardware may have, with what it says of itself or why it is not here."""
    return [(name, _facts(open_sensor(name))) for name in _OPENERS]


def _facts(sensor: Sensor | Unavailable) -> SensorFacts | Unavailable:
    if isinstance(sensor, Unavailable):
        return sensor
    reading = sensor.read()
    facts = SensorFacts(
        rails=sensor.rails,
        total=sensor.total,
        coverage=sensor.coverage,
        interval_seconds=sensor.interval_seconds,
        watts=None if isinstance(reading, Unavailable) else reading.watts,
    )
    sensor.close()
    return reading if isinstance(reading, Unavailable) else facts
