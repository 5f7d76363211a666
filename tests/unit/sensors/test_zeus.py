"""Processors and GPUs through zeus, on counters that are files and on a made-up NVML."""

from __future__ import annotations

import builtins
import itertools
import multiprocessing
import sys
import threading
from types import SimpleNamespace

import pytest

from tests.fakes.boards import FakePowercap
from tests.fakes.clock import FakeClock
from trainfit.bench.sensors.base import Unavailable
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


def test_no_nvml(monkeypatch):
    def missing():
        raise nvidia.pynvml.NVMLError(nvidia.pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(nvidia.pynvml, "nvmlInit", missing)
    assert open_nvml() == Unavailable("NVML: NVML Shared Library Not Found")
