"""The power monitors on a Jetson's board, read from sysfs: INA3221, and INA2xx such as INA238.

Layouts, from the kernel's documentation of the drivers ina3221, ina2xx and ina238 and from NVIDIA's
kernel for L4T r32; none of it has been tried on a board. Which board has which rails, and where
that is written, is in :mod:`trainfit.bench.sensors.rails`.

- hwmon, INA3221 (L4T r34.1, JetPack 5, and later): in{1,2,3}_label, in{n}_input in mV,
  curr{n}_input in mA. in7 is a sum of shunt voltages and no rail; NC is a channel that is not
  connected.
- hwmon, INA2xx: power1_input in microwatts, one rail per chip; VIN of an AGX Thor.
- iio, INA3221 (up to L4T r32: Nano, TX2, Xavier): rail_name_{0,1,2}, in_power{n}_input in mW.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainfit.bench.sensors.base import Reading, Unavailable
from trainfit.bench.sensors.rails import Offsets, choose_total

LEAST_INTERVAL_SECONDS = 0.1
"""No more often than this: reading goes over a slow bus and keeps the processor busy."""

_NOT_CONNECTED = "NC"
_SINGLE = re.compile(r"ina2\d\d|sq52206")


@dataclass(frozen=True)
class _Channel:
    """One rail: its watts are the product of the numbers in ``files``, times ``scale``."""

    rail: str
    files: tuple[Path, ...]
    scale: float
    named: bool = True

    def watts(self) -> float:
        """Read it now.

        Raises:
            OSError: A file cannot be read.
            ValueError: A file holds no number.
        """
        product = self.scale
        for file in self.files:
            text = _text(file)
            try:
                product *= float(text)
            except ValueError:
                raise ValueError(f"{file} holds {text!r}, not a number") from None
        return product


class JetsonSensor:
    """Power of the rails that the board's own monitors measure."""

    name = "jetson"

    def __init__(
        self,
        channels: list[_Channel],
        interval_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self.interval_seconds = interval_seconds
        self.rails = tuple(channel.rail for channel in channels)
        # What a rail without a name feeds is not known; beside named ones it is not added.
        named = tuple(channel.rail for channel in channels if channel.named)
        self.total, self._covered = choose_total(named or self.rails)
        self._offsets = Offsets()

    @property
    def coverage(self) -> str:
        """What the total covers, and which rails were seen below zero so far."""
        return self._covered + self._offsets.note()

    def read(self) -> Reading | Unavailable:
        """Power of every rail that can be read, in watts."""
        watts = {}
        for channel in self._channels:
            try:
                watts[channel.rail] = channel.watts()
            except (OSError, ValueError) as error:
                if channel.rail in self.total:
                    return Unavailable(_reason(error))
        self._offsets.see(watts)
        return Reading(self._clock(), watts=watts)

    def close(self) -> None:
        """Nothing stays open between readings."""


def open_jetson(
    root: Path = Path("/sys"), clock: Callable[[], float] = time.perf_counter
) -> JetsonSensor | Unavailable:
    """The board's power monitors, if there are any and they can be read.

    Args:
        root: Where sysfs is.
        clock: Seconds, only going forward.
    """
    channels: list[_Channel] = []
    intervals = [LEAST_INTERVAL_SECONDS]
    denied: list[OSError] = []
    for find, folders in (
        (_hwmon, root.glob("class/hwmon/hwmon*")),
        (_iio, root.glob("bus/i2c/drivers/ina3221x/*/iio*")),
    ):
        # One chip may be listed under more than one name.
        for folder in sorted({folder.resolve() for folder in folders}):
            try:
                found = [channel for channel in find(folder) if not _switched_off(channel)]
                channels += found
                if found:
                    intervals.append(_update_seconds(folder))
            except OSError as error:
                denied.append(error)
    if denied:  # what the other chips show may then be a part of the total, taken for all of it
        return Unavailable(_reason(denied[0]))
    if not channels:
        return Unavailable(
            f"no power monitor with a named rail (INA3221 or INA2xx) below {root}/class/hwmon or "
            f"{root}/bus/i2c/drivers/ina3221x{_why_none(jetson_model(root))}"
        )
    sensor = JetsonSensor(_told_apart(channels), max(intervals), clock)
    first = sensor.read()
    return first if isinstance(first, Unavailable) else sensor


def jetson_model(root: Path = Path("/sys")) -> str | None:
    """What the device tree calls this board, if it is a Jetson.

    Args:
        root: Where sysfs is.
    """
    try:
        model = _text(root / "firmware/devicetree/base/model")
    except OSError:
        return None
    return model if "jetson" in model.lower() else None


def _why_none(model: str | None) -> str:
    if model is None:
        return ""
    if "nano 2gb" in model.lower():
        return f"; {model}: this board has none, so that its energy needs a meter outside"
    return f"; {model}: its kernel has no driver for them, or its device tree does not list them"


def _hwmon(folder: Path) -> Iterator[_Channel]:
    """The rails of a folder of class hwmon, if it is a power monitor of the INA family."""
    if not (folder / "name").exists():
        return
    chip = _text(folder / "name").lower()
    if chip == "ina3221":
        for number in (1, 2, 3):
            label = _label(folder, f"in{number}_label")
            if label and label != _NOT_CONNECTED and _enabled(folder / f"in{number}_enable"):
                files = (folder / f"in{number}_input", folder / f"curr{number}_input")
                yield _Channel(label, files, scale=1e-6)  # mV x mA
    elif _SINGLE.fullmatch(chip):
        label = next(filter(None, (_label(folder, n) for n in ("power1_label", "label"))), "")
        yield _Channel(label or chip, (folder / "power1_input",), scale=1e-6, named=bool(label))


def _iio(folder: Path) -> Iterator[_Channel]:
    """The rails of a folder of NVIDIA's older driver."""
    for number in (0, 1, 2):
        label = _label(folder, f"rail_name_{number}")
        if label and label != _NOT_CONNECTED:
            yield _Channel(label, (folder / f"in_power{number}_input",), scale=1e-3)


def _told_apart(channels: list[_Channel]) -> list[_Channel]:
    """The same channels, each under a name of its own."""
    seen: dict[str, int] = {}
    result = []
    for channel in channels:
        seen[channel.rail] = seen.get(channel.rail, 0) + 1
        count = seen[channel.rail]
        rail = channel.rail if count == 1 else f"{channel.rail} ({count})"
        result.append(_Channel(rail, channel.files, channel.scale, channel.named))
    return result


def _switched_off(channel: _Channel) -> bool:
    """The driver answers "no data" for a channel that is listed but not measured."""
    try:
        channel.watts()
    except OSError as error:
        return error.errno == errno.ENODATA
    except ValueError:
        return False
    return False


def _update_seconds(folder: Path) -> float:
    """How often the chip has a new value, where its driver says so."""
    try:
        return float(_text(folder / "update_interval")) / 1000
    except (OSError, ValueError):
        return 0.0


def _enabled(file: Path) -> bool:
    return not file.exists() or _text(file) != "0"


def _label(folder: Path, name: str) -> str:
    file = folder / name
    return _text(file) if file.exists() else ""


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace").strip().strip("\0")


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if isinstance(error, PermissionError):
        return (
            f"no permission to read {error.filename}; "
            f"run as root, or allow it once: sudo chmod a+r {error.filename}"
        )
    return f"cannot read {error.filename}: {error.strerror}"
