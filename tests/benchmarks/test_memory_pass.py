"""What watching a step costs: ours beside MemTracker and memray, in one run.

``pytest tests/benchmarks/test_memory_pass.py --benchmark-only -o addopts="" -p no:cacheprovider``
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from torch.distributed._tools.mem_tracker import MemTracker

from tests.benchmarks import conclude, interleave
from tests.reference_methods import algorithm_step
from trainfit.algorithms.phases import observing
from trainfit.bench.profiler.determinism import pinned
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import fold
from trainfit.bench.profiler.session import SessionObserver, capture, mark

MODEL, ROWS, PEAK = "mlp-784-500-500-10", 100, 2_792_048
TARGET = 1.5
STEPS = 50


def test_traced_step(benchmark: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A session around every step: its start, its stop and the reading of its events included.

    The others get no more than they need, too: memray only writes its file, nobody reads it.
    """
    memray = pytest.importorskip("memray")
    step = algorithm_step("backprop", MODEL, ROWS)
    streams: list[Stream] = []
    files = (tmp_path / str(number) for number in itertools.count())

    def traced() -> None:
        with observing(SessionObserver()):
            streams[:] = capture(marked)

    def marked() -> None:
        with mark("step"):
            step.run()

    def mem_tracker() -> None:
        tracker = MemTracker()
        tracker.track_external(*step.held)
        with tracker:
            step.run()

    def heap() -> None:
        with memray.Tracker(next(files)):
            step.run()

    works = {"traced": traced, "plain": step.run, "mem_tracker": mem_tracker, "memray": heap}
    with pinned():
        watch = interleave(benchmark, works, rounds=60)

    plain = watch.median("plain")
    conclude(
        request,
        benchmark,
        traced_over_plain=watch.median("traced") / plain,
        traced_over_plain_target=TARGET,
        mem_tracker_over_plain=watch.median("mem_tracker") / plain,
        memray_over_plain=watch.median("memray") / plain,
    )
    assert fold(streams[0]).peak_dynamic_bytes == PEAK


def test_traced_steps_of_one_session(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """Many steps in one session: what remains when its start and stop are shared."""
    step = algorithm_step("backprop", MODEL, ROWS)
    inside: list[float] = []

    def program() -> None:
        start = time.perf_counter()
        for _ in range(STEPS):
            with mark("step"):
                step.run()
        inside.append((time.perf_counter() - start) / STEPS)

    def traced() -> None:
        with observing(SessionObserver()):
            capture(program)

    def plain() -> None:
        for _ in range(STEPS):
            step.run()

    with pinned():
        watch = interleave(benchmark, {"traced": traced, "plain": plain}, rounds=10)

    each = sorted(inside)[len(inside) // 2]
    conclude(
        request,
        benchmark,
        steps=STEPS,
        traced_step_milliseconds=1e3 * each,
        plain_step_milliseconds=1e3 * watch.median("plain") / STEPS,
        traced_over_plain=each * STEPS / watch.median("plain"),
        traced_over_plain_target=TARGET,
    )
