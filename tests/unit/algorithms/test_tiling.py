"""Loops over tiles: whole without an observer, in part under a trace, with counts."""

from __future__ import annotations

import pytest
import torch

from trainfit.algorithms.phases import observing
from trainfit.algorithms.tiling import in_tiles, rising
from trainfit.bench.trace.recorder import Recorder


class Counting:
    """An observer that notes how often what it is shown is done."""

    def __init__(self) -> None:
        self.times = [1]
        self.seen: list[tuple[slice, int]] = []

    def enter(self, name: str) -> None:
        pass

    def leave(self, name: str) -> None:
        pass

    def tag(self, *_: object) -> None:
        pass

    def repeat(self, times: int, *, again: bool = False) -> None:
        self.times.append(self.times[-1] * times)

    def repeated(self) -> None:
        self.times.pop()


@pytest.mark.parametrize(("extent", "size"), [(0, 3), (1, 3), (3, 3), (6, 3), (7, 3), (23, 4)])
def test_tiles_cover_everything_once(extent: int, size: int) -> None:
    rows = list(range(extent))
    assert [row for part in in_tiles(extent, size) for row in rows[part]] == rows
    assert all(0 < part.stop - part.start <= size for part in in_tiles(extent, size))


@pytest.mark.parametrize(("extent", "size"), [(0, 3), (1, 3), (3, 3), (6, 3), (7, 3), (23, 4)])
def test_under_a_trace_counts_add_up(extent: int, size: int) -> None:
    observer = Counting()
    with observing(observer):
        shown = [(part.stop - part.start, observer.times[-1]) for part in in_tiles(extent, size)]
    assert sum(rows * times for rows, times in shown) == extent
    assert len(shown) <= 3
    assert observer.times == [1]


def test_counts_of_loops_within_loops_multiply() -> None:
    observer = Counting()
    with observing(observer):
        total = sum(
            observer.times[-1] * (b.stop - b.start) * (a.stop - a.start)
            for a in in_tiles(11, 2)
            for b in in_tiles(7, 3)
        )
    assert total == 77


def test_a_loop_that_is_left_early_counts_no_longer() -> None:
    observer = Counting()
    with observing(observer):
        loop = in_tiles(10, 2)
        next(loop)
        loop.close()
        assert observer.times == [1]


def test_the_trace_has_the_counts_and_what_a_tile_leaves_to_the_next() -> None:
    recorder = Recorder()
    x = torch.empty(10, 4, device="meta")
    with observing(recorder), recorder:
        recorder.begin()
        for rows in in_tiles(10, 2):
            kept = x[rows] * x[rows]  # the last one is alive while the next is made
        del kept
        trace = recorder.finish()
    assert [(each.times, each.again) for each in trace.operators] == [(1, False), (4, True)]
    assert trace.torch_view.peak_dynamic_bytes == 2 * 2 * 4 * 4


def test_tiles_have_rows() -> None:
    with pytest.raises(ValueError, match="at least one row, got 0"):
        list(in_tiles(3, 0))


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (2, 3), (0, 2), (1, 4), (1, 8), (3, 20)])
def test_rounds_that_rise(start: int, stop: int) -> None:
    assert list(rising(start, stop)) == list(range(start, stop))
    observer = Counting()
    with observing(observer):
        shown = [(number, observer.times[-1]) for number in rising(start, stop)]
    assert observer.times == [1]
    assert sum(times for _, times in shown) == stop - start
    assert sum(times * number for number, times in shown) == sum(range(start, stop))
    assert len(shown) <= 3
    assert max((number for number, _ in shown), default=stop - 1) == stop - 1


def test_no_rounds_rise_downwards() -> None:
    assert list(rising(1, 0)) == []
    with observing(Counting()):
        assert list(rising(1, 0)) == []
