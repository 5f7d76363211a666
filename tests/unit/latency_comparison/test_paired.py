"""Two workloads in turns: first with sides made up by the test, then with processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.runs import PLUGINS, workload
from trainfit.bench.latency_comparison.blocks import Block
from trainfit.bench.latency_comparison.paired import compare_latency
from trainfit.bench.latency_comparison.processes import PairError
from trainfit.bench.latency_comparison.turns import BlockLimits, PairedStop, take_blocks
from trainfit.bench.latency_comparison.worker import WARM_UP, _open_turns

QUICK = BlockLimits(most_pairs=10)


class Sides:
    """Two sides whose steps last as long as the test says; remembers whose turn it was."""

    def __init__(self, seconds: Callable[[int, int], float]) -> None:
        self._seconds = seconds
        self.turns: list[tuple[int, int]] = []

    def turn(self, side: int, steps: int) -> Block:
        self.turns.append((side, steps))
        seconds = self._seconds(side, len(self.turns))
        return Block(seconds, seconds, 0.0)


def blocks(sides: Sides, **limits: Any) -> Any:
    return take_blocks(sides.turn, BlockLimits(**limits), lambda _: None)


# ---- turns ---------------------------------------------------------------------------------------


def test_the_order_turns_round_and_blocks_last_some_tens_of_milliseconds() -> None:
    # GIVEN steps of 1 ms, which take 6 ms while they are cold, and of 100 ms
    sides = Sides(lambda side, turn: 0.1 if side else 0.006 if turn == 1 else 0.001)

    found = blocks(sides)

    assert found.steps == (100, 1)  # of the short step as many as last as long as the other one
    assert sides.turns[:4] == [(0, WARM_UP), (0, 5), (1, WARM_UP), (1, 1)]
    order = [side for side, _ in sides.turns[4:]]
    assert order[:8] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert found.stopped is PairedStop.SETTLED
    assert len(found.seconds[0]) == len(found.seconds[1]) == 10


def test_a_steady_drift_cancels() -> None:
    # GIVEN a machine that becomes 2 % slower from block to block
    sides = Sides(lambda side, turn: 0.001 * (1 + 0.02 * turn))

    found = blocks(sides, most_pairs=40)

    # THEN the same work is found to take the same time
    a, b = (np.array(each) for each in found.seconds)
    assert float(np.mean(np.log(b / a))) == pytest.approx(0, abs=0.001)


def test_restless_blocks_are_taken_until_the_ratio_is_known_as_well_as_asked() -> None:
    random = np.random.default_rng(2)

    def seconds(side: int, turn: int) -> float:
        return float((0.0012 if side else 0.001) * random.lognormal(0, 0.05))

    found = blocks(Sides(seconds), most_pairs=10_000, most_seconds=1e6)
    rough = blocks(Sides(seconds), width=0.1)

    assert found.stopped is rough.stopped is PairedStop.SETTLED
    assert 10 <= len(rough.seconds[0]) < 60 < len(found.seconds[0]) < 2000
    assert len(found.seconds[0]) % 2 == 0


def test_the_caps() -> None:
    random = np.random.default_rng(2)

    def seconds(side: int, turn: int) -> float:
        return float(0.001 * random.lognormal(0, 1))

    by_blocks = blocks(Sides(seconds), most_pairs=12)
    least = blocks(Sides(seconds), most_pairs=1)
    by_seconds = blocks(Sides(seconds), most_seconds=1.0)

    assert (by_blocks.stopped, len(by_blocks.seconds[1])) == (PairedStop.BLOCKS, 12)
    assert (least.stopped, len(least.seconds[1])) == (PairedStop.BLOCKS, 10)
    assert by_seconds.stopped is PairedStop.SECONDS
    assert 10 <= len(by_seconds.seconds[1]) < 60
    each = zip(by_seconds.seconds, by_seconds.steps, strict=True)
    spent = sum(sum(seconds) * (steps + 1) for seconds, steps in each)
    assert 1.0 <= spent < 2.0  # steps that are not timed count as well


def test_progress_tells_what_is_known() -> None:
    said: list[str] = []
    random = np.random.default_rng(2)
    sides = Sides(lambda side, turn: float(0.001 * random.lognormal(0, 0.3)))

    take_blocks(sides.turn, BlockLimits(most_pairs=12), said.append)

    assert said[:2] == ["warming up", "1 blocks each"]
    assert said[-1].startswith("11 blocks each, B/A 0.")


def test_a_side_that_comes_too_late_finds_the_end_and_does_not_wait(tmp_path: Path) -> None:
    fifo = tmp_path / "turns"
    os.mkfifo(fifo)
    with _open_turns(str(fifo)) as turns:
        assert list(turns) == []


# ---- processes -----------------------------------------------------------------------------------


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))


@pytest.fixture
def threads_before() -> Any:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before, "a side is still being watched"


@pytest.mark.usefixtures("plugins", "threads_before")
def test_only_one_side_runs_at_any_time(tmp_path: Path) -> None:
    # GIVEN two workloads that write down when they take steps
    diary = tmp_path / "diary"
    one = workload(algorithm="turns:Diarist", options={"diary": str(diary)})

    found = compare_latency(one, one, limits=QUICK)

    # THEN no two steps overlap, and the processes take turns
    steps = [tuple(map(int, line.split())) for line in diary.read_text("ascii").splitlines()]
    for (_, _, ended), (_, began, _) in pairwise(steps):
        assert ended <= began
    pids = [pid for pid, _, _ in steps]
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    changes = sum(before != after for before, after in pairwise(pids))
    assert changes == 2 + found.blocks  # to B to warm up, back to A, then one in every pair

    # THEN the result says what it is made of
    assert found.blocks == len(found.a.step_seconds) == len(found.b.step_seconds) == 10
    assert found.a.median >= 0.002
    low, high = found.wall.interval
    assert low <= found.wall.ratio <= high
    assert found.cpu is not None
    assert found.cpu.interval[0] <= found.cpu.ratio <= found.cpu.interval[1]
    for side in (found.a, found.b):
        assert side.use.cpu_seconds is not None
        assert side.use.cpu_seconds > 0
        assert side.use.involuntary >= 0
    assert found.a.interval[0] <= found.a.median <= found.a.interval[1]
    assert (found.threads, found.confidence, found.asked_width) == (1, 0.95, 0.02)
    assert (found.a.stage, found.a.stages) == ("all", 1)


@pytest.mark.usefixtures("plugins", "threads_before")
@pytest.mark.parametrize("lives", [1, 7])
def test_when_one_dies_the_other_ends_too(tmp_path: Path, lives: int) -> None:
    options = {"diary": str(tmp_path / "diary")}
    well = workload(algorithm="turns:Diarist", options=options)
    ill = workload(algorithm="turns:Diarist", options={**options, "lives": lives})

    with pytest.raises(PairError) as raised:
        compare_latency(well, ill, limits=QUICK)

    said = str(raised.value)
    assert said.startswith(f"B, {ill.label}: cannot be compared, it ended early: ")
    assert "exit code 3" in said


@pytest.mark.usefixtures("plugins", "threads_before")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "bakprop"}, "did you mean backprop"),
        ({"model": "mlp-63-10"}, "takes 63 inputs but dataset 'digits' has 64 features"),
        ({"algorithm": "broken:Raises"}, "ZeroDivisionError: the learning rate is zero"),
    ],
)
def test_what_cannot_run_is_one_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PairError) as raised:
        compare_latency(workload(**changes), workload(), limits=QUICK)
    assert str(raised.value).startswith("A, ")
    assert message in str(raised.value)


@pytest.mark.usefixtures("plugins", "threads_before")
def test_a_side_that_hangs_is_killed() -> None:
    limits = BlockLimits(timeout_seconds=2)
    with pytest.raises(PairError, match="still running after 2 s"):
        compare_latency(workload(algorithm="broken:Hangs"), workload(), limits=limits)


@pytest.mark.usefixtures("plugins", "threads_before")
def test_a_side_that_still_prepares_is_killed_when_the_other_ends() -> None:
    with pytest.raises(PairError, match="did you mean backprop"):
        compare_latency(workload(algorithm="turns:NeverReady"), workload(algorithm="bakprop"))


@pytest.mark.usefixtures("plugins", "threads_before")
def test_stages_are_chosen_by_number() -> None:
    staged = workload(algorithm="turns:TwoStages")

    found = compare_latency(staged, staged, stages=(0, 1), limits=QUICK)

    assert (found.a.stage, found.b.stage, found.b.stages) == ("short", "long", 2)
    assert found.ratio == pytest.approx(10)
    assert found.cpu is not None
    assert found.cpu.ratio == pytest.approx(10)
    assert found.differs
    with pytest.raises(PairError, match=r"2 stages here \(short, long\), no number 2"):
        compare_latency(staged, staged, stages=(0, 2), limits=QUICK)
