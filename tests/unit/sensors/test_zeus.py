"""Processors and GPUs through zeus, on counters that are files and on a made-up NVML."""

from __future__ import annotations

import builtins
import itertools
import multiprocessing
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fakes.boards import FakePowercap
from tests.fakes.clock import FakeClock
from trainfit.bench.sensors import zeus_sensors
from trainfit.bench.sensors.base import Reading, Unavailable
from trainfit.bench.sensors.counter import WrappingCounter
from trainfit.bench.sensors.zeus_sensors import open_nvml, open_rapl

rapl = pytest.importorskip("zeus.device.cpu.rapl")
nvidia = pytest.importorskip("zeus.device.gpu.nvidia")


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """A tree that zeus finds in place of the kernel's."""
    tree = FakePowercap(tmp_path, range_joules=262143.32885)
    monkeypatch.setattr(rapl, "RAPL_DIR", str(tree.root))
    monkeypatch.delenv("ZEUSD_SOCK_PATH", raising=False)
    rapl.rapl_is_available.cache_clear()
    yield tree
    rapl.rapl_is_available.cache_clear()


def test_packages_and_their_memory_add_up_and_the_platform_does_not(powercap):
    powercap.zone("intel-rapl:0", "package-0", 10.0)
    powercap.zone("intel-rapl:0/intel-rapl:0:0", "core", 4.0)
    powercap.zone("intel-rapl:0/intel-rapl:0:1", "dram", 2.0)
    powercap.zone("intel-rapl:1", "psys", 30.0)
    clock = FakeClock()
    sensor = open_rapl(clock)
    assert sensor.rails == ("package-0", "package-0/dram", "psys")
    assert sensor.total == ("package-0", "package-0/dram")
    assert "and their memory" in sensor.coverage
    reading = sensor.read()
    assert reading.joules == {"package-0": 10.0, "package-0/dram": 2.0, "psys": 30.0}
    assert reading.at_seconds == clock.now


def dies(powercap, first, second, third=None):
    """Dies of one package, each with memory of its own, that have counted so many joules."""
    for number, joules in enumerate(each for each in (first, second, third) if each is not None):
        path = f"intel-rapl:{number}"
        powercap.zone(path, f"package-0-die-{number}", joules)
        powercap.zone(f"{path}/{path}:0", "dram", joules / 10)


def test_dies_that_show_one_counter_are_counted_once(powercap):
    """mlco2/codecarbon#1274: 136 J were reported for 68 J."""
    dies(powercap, 1.0, 1.0, 1.0)
    clock = FakeClock()
    sensor = open_rapl(clock)
    assert sensor.total == ("package-0-die-0", "package-0-die-0/dram")
    assert len(sensor.rails) == 6, "the others are listed, but not added"
    assert sensor.coverage.endswith(
        "; counted once, because they show another die's counter: package-0-die-1, "
        "package-0-die-2, package-0-die-1/dram, package-0-die-2/dram"
    )
    before = sensor.read()
    clock.sleep(1.0)
    for number in range(3):
        powercap.set_joules(f"intel-rapl:{number}", 69.0)
    after = sensor.read()
    assert sum(after.joules[rail] - before.joules[rail] for rail in sensor.total) == 68.0


def test_dies_that_count_on_their_own_add_up(powercap):
    dies(powercap, 10.0, 30.0)
    sensor = open_rapl(FakeClock())
    names = ("package-0-die-0", "package-0-die-0/dram", "package-0-die-1", "package-0-die-1/dram")
    assert sensor.total == names
    assert "counted once" not in sensor.coverage
    before = sensor.read()
    powercap.set_joules("intel-rapl:0", 15.0)
    powercap.set_joules("intel-rapl:1", 36.0)
    after = sensor.read()
    assert sum(after.joules[rail] - before.joules[rail] for rail in names) == 11.0
    # Once they have parted they are two, even where they gain alike for a while.
    powercap.set_joules("intel-rapl:0", 16.0)
    powercap.set_joules("intel-rapl:1", 36.0)
    assert not isinstance(sensor.read(), Unavailable)


def test_dies_that_gain_alike_from_different_starts_are_doubted(powercap):
    dies(powercap, 10.0, 30.0)
    sensor = open_rapl(FakeClock())
    powercap.set_joules("intel-rapl:0", 15.5)
    powercap.set_joules("intel-rapl:1", 35.5)
    assert sensor.read() == Unavailable(
        "package-0-die-0 and package-0-die-1 gained the same 5.5 J to the microjoule: one counter "
        "shown twice, so that their sum is not known"
    )


def test_dies_that_part_after_all_are_doubted(powercap):
    dies(powercap, 5.0, 5.0)
    sensor = open_rapl(FakeClock())
    powercap.set_joules("intel-rapl:0", 6.0)
    powercap.set_joules("intel-rapl:1", 7.0)
    assert "whether they are one is not known" in sensor.read().reason


def test_a_counter_that_moves_while_it_is_read_tells_nothing(powercap, monkeypatch):
    """Two reads of one counter are never at the same moment."""
    dies(powercap, 1.0, 1.0)
    reads, joules = itertools.count(1), itertools.count(2)
    read_text = Path.read_text

    def moving(file, *given):
        if file.name == "energy_uj" and next(reads) % 11 == 0:  # four files a look
            level = next(joules)
            for number in range(2):
                powercap.set_joules(f"intel-rapl:{number}", level)
        return read_text(file, *given)

    monkeypatch.setattr(Path, "read_text", moving)
    sensor = open_rapl(FakeClock())
    assert "package-0-die-1" not in sensor.total
    assert all(isinstance(sensor.read(), Reading) for _ in range(50))


def test_packages_are_never_taken_for_one(powercap):
    powercap.zone("intel-rapl:0", "package-0", 1.0)
    powercap.zone("intel-rapl:1", "package-1", 1.0)
    assert open_rapl().total == ("package-0", "package-1")


def test_two_zones_of_one_name_stay_two(powercap):
    powercap.zone("intel-rapl:0", "package-0", 1.0)
    powercap.zone("intel-rapl:1", "package-0", 2.0)
    assert open_rapl().read().joules == {"package-0": 1.0, "package-0 (2)": 2.0}


def test_the_second_way_to_the_same_counter_is_not_added(powercap):
    """mlco2/codecarbon#950: the kernel shows package 0 by MSR and by MMIO."""
    powercap.zone("intel-rapl:0", "package-0", 1.0)
    powercap.zone("intel-rapl-mmio:0", "package-0", 1.0)
    assert open_rapl().rails == ("package-0",)


def test_the_platform_alone_says_what_it_is(powercap):
    powercap.zone("intel-rapl:0", "psys", 1.0)
    sensor = open_rapl()
    assert sensor.total == ("psys",)
    assert sensor.coverage == "psys: the platform as its maker wired it, processors included"


def test_a_counter_without_a_range_is_unavailable_and_says_which(powercap):
    """mlco2/codecarbon#1309: nobody could tell a wrap."""
    powercap.zone("intel-rapl:0", "package-0", 1.0)
    file = powercap.root / "intel-rapl:0" / "max_energy_range_uj"
    file.write_text("0\n")
    assert open_rapl().reason.endswith("max_energy_range_uj is 0, so no wrap can be seen")
    file.unlink()
    assert open_rapl().reason == f"Error reading package max energy range ({file})"


def test_without_a_memory_zone_the_coverage_says_so(powercap):
    powercap.zone("intel-rapl:0", "package-0")
    assert "memory only if it is in the package" in open_rapl().coverage


def test_opening_and_reading_start_nothing(powercap):
    powercap.zone("intel-rapl:0", "package-0", 5.0)
    threads = threading.active_count()
    sensor = open_rapl()
    for _ in range(3):
        sensor.read()
    assert multiprocessing.active_children() == []
    assert threading.active_count() == threads


def test_a_counter_that_wraps_goes_on_growing(powercap):
    almost = powercap.range_joules - 30.0
    powercap.zone("intel-rapl:0", "package-0", almost)
    clock = FakeClock()
    sensor = open_rapl(clock)
    seen = []
    for step in range(12):  # 50 W, read every 0.1 s; the counter wraps after 0.6 s
        powercap.set_joules("intel-rapl:0", almost + 5.0 * step)
        seen.append(sensor.read().joules["package-0"])
        clock.sleep(0.1)
    gained = [later - sooner for sooner, later in itertools.pairwise(seen)]
    assert gained == [pytest.approx(5.0, abs=2e-6)] * 11


def test_a_counter_that_was_set_back_is_not_taken_for_one_that_wrapped():
    counter = WrappingCounter(range_joules=262143.0)
    assert counter.unwrap(9000.0, 1.0) == 9000.0
    assert counter.unwrap(10.0, 1.1) == 10.0
    counter = WrappingCounter(range_joules=1000.0)
    assert [counter.unwrap(raw, at) for at, raw in enumerate([900.0, 100.0, 950.0, 50.0])] == [
        900.0,
        1100.0,
        1950.0,
        2050.0,
    ]


def test_a_zone_that_vanishes_is_unavailable_if_it_counts(powercap):
    powercap.zone("intel-rapl:0", "package-0", 1.0)
    powercap.zone("intel-rapl:1", "psys", 1.0)
    sensor = open_rapl()
    powercap.zones["intel-rapl:1"].unlink()
    assert set(sensor.read().joules) == {"package-0"}
    powercap.zones["intel-rapl:0"].unlink()
    assert "energy_uj: " in sensor.read().reason


def test_no_permission_in_zeus_words_on_one_line(powercap, monkeypatch):
    powercap.zone("intel-rapl:0", "package-0")
    real = builtins.open

    def refuse(file, *args, **kwargs):
        if str(file).endswith("energy_uj"):
            raise PermissionError(13, "Permission denied", file)
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    found = open_rapl()
    assert isinstance(found, Unavailable)
    assert "RAPL requires root privileges" in found.reason
    assert "\n" not in found.reason


def test_no_zones(powercap):
    assert open_rapl() == Unavailable("the kernel's powercap lists no RAPL zone")


def test_no_rapl(tmp_path, monkeypatch):
    monkeypatch.setattr(rapl, "RAPL_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr(rapl, "CONTAINER_RAPL_DIR", str(tmp_path / "nowhere"))
    rapl.rapl_is_available.cache_clear()
    assert open_rapl() == Unavailable("RAPL is not supported on this CPU.")
    rapl.rapl_is_available.cache_clear()


@pytest.mark.parametrize(("opener", "module"), [(open_rapl, "cpu"), (open_nvml, "gpu")])
def test_without_zeus(opener, module, monkeypatch):
    monkeypatch.setitem(sys.modules, f"zeus.device.{module}", None)
    assert "pip install 'trainfit[sensors]'" in opener().reason


class FakeNvml:
    """Two GPUs; what zeus calls of NVML."""

    def __init__(self, monkeypatch, architecture=9, count=2):
        self.joules = [100.0, 200.0]
        self.fault = None
        calls = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: count,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetC2cModeInfoV": lambda handle: SimpleNamespace(isC2cEnabled=False),
            "nvmlDeviceGetName": lambda handle: "NVIDIA Test 100",
            "nvmlDeviceGetArchitecture": lambda handle: architecture,
            "nvmlDeviceGetTotalEnergyConsumption": self.energy,
        }
        for name, call in calls.items():
            monkeypatch.setattr(nvidia.pynvml, name, call)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.delenv("ZEUSD_SOCK_PATH", raising=False)

    def energy(self, handle):
        if self.fault is not None:
            raise nvidia.pynvml.NVMLError(self.fault)
        return round(self.joules[handle] * 1e3)


def test_gpus_count_millijoules(monkeypatch):
    nvml = FakeNvml(monkeypatch)
    sensor = open_nvml(FakeClock())
    assert sensor.rails == sensor.total == ("GPU0", "GPU1")
    assert "GPU1 (NVIDIA Test 100)" in sensor.coverage
    assert sensor.read().joules == {"GPU0": 100.0, "GPU1": 200.0}
    nvml.fault = nvidia.pynvml.NVML_ERROR_GPU_IS_LOST
    assert sensor.read() == Unavailable("NVML: GPU is lost")
    sensor.close()


def test_gpus_that_cannot_count(monkeypatch):
    FakeNvml(monkeypatch, architecture=4)
    assert "from Volta on" in open_nvml().reason
    FakeNvml(monkeypatch, count=0)
    assert "lists no GPU" in open_nvml().reason
    # As on a Jetson, whose NVML is there and answers nothing.
    FakeNvml(monkeypatch).fault = nvidia.pynvml.NVML_ERROR_NOT_SUPPORTED
    assert open_nvml() == Unavailable("NVML: Not Supported")


def test_the_nvml_of_a_jetson_names_the_sensor_that_reads_there(monkeypatch):
    """It can be opened and lists a GPU, and answers "Not Supported": never 0 J."""
    monkeypatch.setattr(zeus_sensors, "jetson_model", lambda: "NVIDIA Jetson Orin Nano")
    FakeNvml(monkeypatch).fault = nvidia.pynvml.NVML_ERROR_NOT_SUPPORTED
    assert open_nvml() == Unavailable(
        "NVML: Not Supported; on NVIDIA Jetson Orin Nano energy is read from the board's rails: "
        "--sensor jetson"
    )


def test_no_nvml(monkeypatch):
    def missing():
        raise nvidia.pynvml.NVMLError(nvidia.pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(nvidia.pynvml, "nvmlInit", missing)
    assert open_nvml() == Unavailable("NVML: NVML Shared Library Not Found")
