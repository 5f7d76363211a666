"""The table of ratios that benchmarks print, with works whose time a test makes up."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks import ratios
from tests.benchmarks.ratios import Work, compare
from tests.fakes.clock import SharedCore


class Printed:
    """A stand-in for pytest's reporter."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        self.lines.append(line)


class Plugins:
    """A stand-in for pytest's plugin manager."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def get_plugin(self, name: str) -> Any:
        return self.found.get(name)

    def register(self, plugin: Any, name: str) -> None:
        self.found[name] = plugin


def compared(core: SharedCore, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    """Steps of 4 and 10 ms on that core: rows, extra_info, and what is printed."""
    monkeypatch.setattr(ratios, "Counters", lambda: core)
    entered: list[str] = []
    benchmark = SimpleNamespace(
        extra_info={},
        pedantic=lambda work, rounds: [work() for _ in range(rounds)],
    )
    plugins = Plugins()
    request: Any = SimpleNamespace(
        node=SimpleNamespace(name="test_it"), config=SimpleNamespace(pluginmanager=plugins)
    )

    class Around:
        def __enter__(self) -> None:
            entered.append("in")

        def __exit__(self, *error: object) -> None:
            entered.append("out")

    works = {
        "slow": Work(lambda: core.work(0.01), operations=10_000_000),
        "fast": Work(lambda: core.work(0.004), Around),
    }
    rows = compare(benchmark, request, works, asked={"fast": "<= 0.5"}, rounds=10, **given)
    assert entered == ["in", "out"] * 11
    printed = Printed()
    plugins.found["trainfit_ratios"].pytest_terminal_summary(printed)
    return rows, benchmark.extra_info, printed.lines


def test_a_table_of_ratios_with_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SharedCore(random=random.Random(1))

    (row,), info, lines = compared(core, monkeypatch)

    assert (row.name, row.found.doubt) == ("fast", "")
    assert row.found.cpu.ratio == row.found.wall.ratio == pytest.approx(0.4)
    assert info["fast_over_slow_cpu"] == info["fast_over_slow_time"] == pytest.approx(0.4)
    low, high = info["fast_over_slow_cpu_interval"]
    assert low <= 0.4 <= high or low == pytest.approx(high)
    assert info["slow_milliseconds"] == pytest.approx(10)
    assert (info["fast_over_slow_asked"], info["rounds"]) == ("<= 0.5", 10)
    assert "usable cores" in info["processor"]
    assert lines[:2] == ["ratios of times", info["processor"]]
    assert lines[3] == "test_it: over slow, 10 rounds"
    assert lines[5].split() == ["slow", "10.000", "ms", "1.0", "Gop/s", "1", "1"]
    assert lines[6].split()[:3] == ["fast", "4.000", "ms"]
    assert lines[6].endswith("<= 0.5")


def test_several_threads_on_a_busy_core_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SharedCore(others=3, random=random.Random(1))

    (row,), info, lines = compared(core, monkeypatch, count=2)

    assert "the machine was busy" in row.found.doubt
    assert info["fast_over_slow_time"] is info["fast_over_slow_time_interval"] is None
    assert info["fast_over_slow_no_time_because"] == row.found.doubt
    assert info["fast_over_slow_cpu"] == pytest.approx(0.4)
    assert "unknown (busy)" in lines[6]
    assert info["slow_milliseconds"] is info["fast_milliseconds"] is None
    assert lines[5].split()[:2] == ["slow", "unknown"]
