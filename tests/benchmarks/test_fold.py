"""Folding a million allocation events with ten thousand phase switches.

``pytest tests/benchmarks/test_fold.py --benchmark-only -o addopts="" -p no:cacheprovider``
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.benchmarks import conclude, interleave
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import fold

EVENTS = 1_000_000
PER_PHASE = 100
"""A million events are 10,000 phases, each entered and left."""
BLOCK = 64
TARGET_SECONDS = 1.0


def stream_of(events: int) -> Stream:
    """A stream in which every phase climbs to half of ``PER_PHASE`` blocks and down again."""
    stream = Stream()
    stream.begin()
    for number in range(events // PER_PHASE):
        name = ("forward", "gradient.local", "update")[number % 3]
        stream.enter(name)
        for block in range(PER_PHASE // 2):
            stream.alloc(4096 + BLOCK * block, BLOCK)
        for block in reversed(range(PER_PHASE // 2)):
            stream.free(4096 + BLOCK * block, BLOCK)
        stream.leave(name)
    stream.end()
    return stream


def test_fold(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """Time of the whole, of a half and of a quarter: the fold should be linear."""
    streams = {events: stream_of(events) for events in (EVENTS, EVENTS // 2, EVENTS // 4)}
    works = {f"events_{events}": partial(fold, stream) for events, stream in streams.items()}

    watch = interleave(benchmark, works, rounds=7)

    whole, half, quarter = (watch.median(name) for name in works)
    conclude(
        request,
        benchmark,
        phases=EVENTS // PER_PHASE,
        seconds=whole,
        seconds_target=TARGET_SECONDS,
        whole_over_half=whole / half,
        half_over_quarter=half / quarter,
    )
    for events, stream in streams.items():
        assert len(stream.sizes) == events
        folded = fold(stream)
        assert folded.peak_dynamic_bytes == BLOCK * PER_PHASE // 2
        assert folded.left_after_step_bytes == 0
