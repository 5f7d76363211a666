"""Dies that show one counter, on counters that are files; without zeus, which only finds them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainfit.bench.sensors.base import Reading, Unavailable
from trainfit.bench.sensors.mirrors import Dies
from trainfit.bench.sensors.zeus_sensors import RaplSensor

RANGE = 262143.0


def write(folder: Path, **joules: float) -> None:
    for name, value in joules.items():
        (folder / name).write_text(f"{round(value % RANGE * 1e6)}\n")


def sensor(folder: Path, clock: Callable[[], float], **joules: float) -> RaplSensor:
    """Of zones named as the kernel does; a keyword has ``_`` where the kernel has ``-``."""
    write(folder, **joules)
    zones = {name.replace("_", "-"): (folder / name, RANGE) for name in joules}
    return RaplSensor(zones, clock)


def test_a_mirrored_counter_is_counted_once_and_over_a_wrap(tmp_path: Path) -> None:
    now = 0.0
    almost = RANGE - 20.0
    rapl = sensor(tmp_path, lambda: now, package_0_die_0=almost, package_0_die_1=almost)
    assert rapl.total == ("package-0-die-0",)
    totals = []
    for step in range(4):
        write(tmp_path, package_0_die_0=almost + 17 * step, package_0_die_1=almost + 17 * step)
        reading = rapl.read()
        assert isinstance(reading, Reading)
        assert reading.joules is not None
        totals.append(sum(reading.joules[rail] for rail in rapl.total))
        now += 1.0
    assert totals == pytest.approx([almost + 17 * step for step in range(4)])


def test_dies_of_two_packages_are_compared_within_their_package(tmp_path: Path) -> None:
    rapl = sensor(
        tmp_path,
        time.monotonic,
        package_0_die_0=5.0,
        package_0_die_1=5.0,
        package_1_die_0=5.0,
        package_1_die_1=9.0,
    )
    assert rapl.total == ("package-0-die-0", "package-1-die-0", "package-1-die-1")


def test_a_die_that_cannot_be_read_is_no_mirror(tmp_path: Path) -> None:
    rapl = sensor(tmp_path, time.monotonic, package_0_die_0=5.0, package_0_die_1=6.0)
    (tmp_path / "package_0_die_1").unlink()
    found = rapl.read()
    assert isinstance(found, Unavailable)
    assert "package_0_die_1: " in found.reason


def test_a_counter_that_never_rests_while_it_is_looked_at_is_no_mirror() -> None:
    """No two looks agree, so nothing is known, and nothing is left out of the sum."""
    moves = iter(range(10_000))
    waits: list[float] = []

    def look() -> dict[str, float]:
        return dict.fromkeys(("package-0-die-0", "package-0-die-1"), float(next(moves)))

    dies = Dies(["package-0-die-0", "package-0-die-1"], look, waits.append)
    assert dies.mirrors == {}
    assert len(waits) == 49
    assert sum(waits) < 0.2, "opening a sensor does not take long"
