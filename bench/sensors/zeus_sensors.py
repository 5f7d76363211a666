"""Intel and AMD processors (RAPL) and NVIDIA GPUs (NVML), found through zeus.

zeus is an extra and is imported when one of its sensors is opened. Opening and reading start no
process and no thread.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Collection, Container
from pathlib import Path
from typing import Any

from trainfit._imports import current_folder_left_out
from trainfit.bench.sensors.base import Reading, Unavailable, one_line
from trainfit.bench.sensors.counter import WrappingCounter
from trainfit.bench.sensors.jetson import jetson_model
from trainfit.bench.sensors.mirrors import Dies

_NO_EXTRA = "needs the extra: pip install 'trainfit[sensors]'"
_PLATFORM = "psys"


class RaplSensor:
    """Energy counters of processor packages and, where they are counted, of their memory.

    zeus finds the zones and says what is wrong with them, but its own ``read`` starts a process per
    counter, which polls for wraps once a second: that process would run on the cores that are
    measured, and a reading between a wrap and the next poll is a whole turn too low. So the
    counters are read here, with the range that zeus found.
    """

    name = "rapl"
    interval_seconds = 0.02
    """The counters move about every millisecond; reading them costs some microseconds."""

    def __init__(
        self, zones: dict[str, tuple[Path, float]], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._files = {rail: file for rail, (file, _) in zones.items()}
        self._counters = {rail: WrappingCounter(joules) for rail, (_, joules) in zones.items()}
        self.rails = tuple(zones)
        # psys is the platform as the maker wired it, packages included: not to be added to them.
        counted = tuple(rail for rail in zones if not rail.startswith(_PLATFORM)) or self.rails
        self._why: dict[str, str] = {}
        self._dies = Dies(counted, self._raw)
        self.total = tuple(rail for rail in counted if rail not in self._dies.mirrors)
        self.coverage = _coverage(self.total, self._dies.mirrors)

    def read(self) -> Reading | Unavailable:
        """Energy of every zone in joules, unwrapped."""
        at = self._clock()
        raw = self._raw()
        for rail in self.total:
            if rail not in raw:
                return Unavailable(self._why[rail])
        joules = {rail: self._counters[rail].unwrap(value, at) for rail, value in raw.items()}
        doubt = self._dies.doubt(raw, joules)
        return Unavailable(doubt) if doubt else Reading(at, joules=joules)

    def close(self) -> None:
        """Nothing stays open between readings."""

    def _raw(self) -> dict[str, float]:
        """What the counters that can be read show, in joules."""
        found = {}
        for rail, file in self._files.items():
            try:
                found[rail] = float(file.read_text("ascii")) / 1e6
            except (OSError, ValueError) as error:
                self._why[rail] = f"cannot read {file}: {one_line(error)}"
        return found


class NvmlSensor:
    """Energy counters of the NVIDIA GPUs that this process may use."""

    name = "nvml"
    interval_seconds = 0.1
    """The counter moves about ten times a second."""

    def __init__(self, gpus: list[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        self._gpus = {f"GPU{gpu.gpu_index}": gpu for gpu in gpus}
        self._clock = clock
        self.rails = self.total = tuple(self._gpus)
        models = ", ".join(f"{rail} ({gpu.get_name()})" for rail, gpu in self._gpus.items())
        self.coverage = f"the boards of {models} with their memory; not the processor"

    def read(self) -> Reading | Unavailable:
        """Energy of every GPU in joules since its driver was loaded."""
        try:
            joules = {
                rail: gpu.get_total_energy_consumption() / 1e3 for rail, gpu in self._gpus.items()
            }
        except Exception as error:
            return Unavailable(f"NVML: {one_line(error)}")
        return Reading(self._clock(), joules=joules)

    def close(self) -> None:
        """NVML is shut down with the last reference to its GPUs."""
        self._gpus = {}


def _coverage(total: tuple[str, ...], mirrors: Collection[str]) -> str:
    summed = f"the sum of {', '.join(total)}" if len(total) > 1 else total[0]
    if all(rail.startswith(_PLATFORM) for rail in total):
        return f"{summed}: the platform as its maker wired it, processors included"
    memory = any(rail.endswith("/dram") for rail in total)
    once = f"; counted once, because they show another die's counter: {', '.join(mirrors)}"
    return (
        f"{summed}: processors with all that runs on them, "
        f"{'and their memory' if memory else 'memory only if it is in the package'}; "
        f"not the board, disks or GPUs{once if mirrors else ''}"
    )


def open_rapl(clock: Callable[[], float] = time.perf_counter) -> RaplSensor | Unavailable:
    """The processor's counters, or zeus's words on why there are none."""
    try:
        with current_folder_left_out():
            from zeus.device.cpu import rapl  # noqa: PLC0415  (an extra)
    except ImportError:
        return Unavailable(_NO_EXTRA)
    try:
        with warnings.catch_warnings():  # zones that zeus leaves out are none of ours
            warnings.simplefilter("ignore")
            with current_folder_left_out():
                cpus = rapl.RAPLCPUs().cpus
        zones: dict[str, tuple[Path, float]] = {}
        for cpu in cpus:
            if not hasattr(cpu, "rapl_file"):
                return Unavailable("zeus asks its daemon (ZEUSD_SOCK_PATH), this asks the kernel")
            rail = _unused(cpu.rapl_file.name, zones)
            zones[rail] = _zone(cpu.rapl_file)
            if cpu.dram is not None:
                zones[f"{rail}/dram"] = _zone(cpu.dram)
    except Exception as error:
        where = getattr(error.__cause__, "filename", None)  # zeus does not say which zone
        return Unavailable(one_line(error) + (f" ({where})" if where else ""))
    if not zones:
        return Unavailable("the kernel's powercap lists no RAPL zone")
    sensor = RaplSensor(zones, clock)
    first = sensor.read()
    return first if isinstance(first, Unavailable) else sensor


def open_nvml(clock: Callable[[], float] = time.perf_counter) -> NvmlSensor | Unavailable:
    """The GPUs' counters, or zeus's words on why there are none."""
    try:
        with current_folder_left_out():
            from zeus.device.gpu import nvidia  # noqa: PLC0415  (an extra)
    except ImportError:
        return Unavailable(_NO_EXTRA)
    try:
        with current_folder_left_out():  # some of it imports pynvml only now
            gpus = list(nvidia.NVIDIAGPUs().gpus)
        if not gpus:
            return Unavailable("NVML lists no GPU that this process may use")
        for gpu in gpus:
            if not gpu.supports_get_total_energy_consumption():
                return Unavailable(f"{gpu.get_name()} counts no energy; GPUs do from Volta on")
        sensor = NvmlSensor(gpus, clock)
    except Exception as error:
        return Unavailable(f"NVML: {one_line(error)}{_on_a_jetson()}")
    first = sensor.read()
    return Unavailable(first.reason + _on_a_jetson()) if isinstance(first, Unavailable) else sensor


def _on_a_jetson() -> str:
    """Its NVML can be opened and lists a GPU, and answers every question with "Not Supported"."""
    model = jetson_model()
    return f"; on {model} energy is read from the board's rails: --sensor jetson" if model else ""


def _unused(name: str, taken: Container[str]) -> str:
    """The name of a zone, told apart from others of the same name."""
    numbered = (f"{name} ({count})" for count in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _zone(file: Any) -> tuple[Path, float]:
    """A counter's file, and the joules at which it wraps.

    Raises:
        ValueError: It is not said when it wraps, so that a turn would be missed.
    """
    joules = file.max_energy_range_uj / 1e6
    if not joules > 0:
        raise ValueError(f"{file.path}: max_energy_range_uj is {joules:g}, so no wrap can be seen")
    return Path(file.energy_uj_path), joules
