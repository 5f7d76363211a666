"""What this suite costs, and how the algorithms compare: benchmarks, not tests.

::

    pytest tests/benchmarks --benchmark-only -o addopts="" -p no:cacheprovider

(``addopts`` of the project switches benchmarks off.) Only bytes are asserted, for they are the same
on every machine; those of measured steps are what ``trainfit gate-benchmark`` reads. Times are
taken interleaved, A B A B, and compared as a ratio of medians within one run; targets stand beside
them in ``extra_info`` of ``--benchmark-json`` and in the summary. New ones compare through
:mod:`tests.benchmarks.ratios`, which gives CPU time as well, and intervals.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from trainfit.bench.testing.benchmark_bridge import KEY

Work = Callable[[], object]


class Stopwatch:
    """Times of several pieces of work, taken in turn."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def time(self, name: str, work: Work) -> None:
        """Run a piece of work and note how long it took."""
        start = time.perf_counter()
        work()
        self.seconds[name].append(time.perf_counter() - start)

    def median(self, name: str) -> float:
        """Median seconds of one piece of work."""
        return statistics.median(self.seconds[name])


def interleave(benchmark: Any, works: Mapping[str, Work], *, rounds: int) -> Stopwatch:
    """Run all works in turn, ``rounds`` times, after one round that is not timed.

    pytest-benchmark's own columns show the first of them.
    """
    watch = Stopwatch()
    (first, main), *others = works.items()
    for work in works.values():
        work()

    def before() -> None:
        for name, work in others:
            watch.time(name, work)

    benchmark.pedantic(lambda: watch.time(first, main), setup=before, rounds=rounds)
    for name in works:
        benchmark.extra_info[f"{name}_milliseconds_median"] = round(1e3 * watch.median(name), 3)
    return watch


class _Summary:
    """Prints collected lines at the end of the session."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Called by pytest."""
        terminalreporter.section("measured / target")
        for line in self.lines:
            terminalreporter.write_line(line)


def conclude(request: pytest.FixtureRequest, benchmark: Any, **figures: Any) -> None:
    """Put figures into ``extra_info`` and into the summary at the end of the session."""
    benchmark.extra_info |= figures
    plugins = request.config.pluginmanager
    summary = plugins.get_plugin("trainfit_summary")
    if summary is None:
        summary = _Summary()
        plugins.register(summary, "trainfit_summary")
    shown = {name: value for name, value in benchmark.extra_info.items() if name != KEY}
    text = ", ".join(f"{name}={_short(value)}" for name, value in shown.items())
    summary.lines.append(f"{request.node.name}: {text}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class threads:  # noqa: N801  (reads as a statement: ``with threads(2):``)
    """So many threads for operators inside the block."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        torch.set_num_threads(self._count)

    def __exit__(self, *error: object) -> None:
        torch.set_num_threads(self._before)
