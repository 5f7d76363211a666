"""A machine that keeps steps waiting: that it is noticed, and that a quiet one is left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import SharedCore
from trainfit.bench.latency_comparison.blocks import Block, Counters
from trainfit.bench.latency_comparison.processes import WARM_UP
from trainfit.bench.latency_comparison.turns import BlockLimits, PairedStop, take_blocks
from trainfit.bench.latency_comparison.waiting import Estimate, Judgement, Use, doubt, judge
from trainfit.bench.latency_comparison.worker import take_block

SLOW, FAST = 0.0065, 0.0039
"""CPU seconds of a step of A and of B, so that B takes 0.6 times as long."""

Take = Callable[[Callable[[], None], int, Any], Block]


def judged(blocks: tuple[list[Block], list[Block]], threads: int = 1) -> Judgement:
    return judge(*blocks, threads=threads, width=0.02, confidence=0.95)


def single_steps(core: SharedCore, pairs: int = 20) -> tuple[list[Block], list[Block]]:
    """Blocks of one step, and no other before it: what a busy machine was once compared by."""
    taken: tuple[list[Block], list[Block]] = ([], [])
    for _ in range(pairs):
        for side, cost in enumerate((SLOW, FAST)):
            core.wake()
            taken[side].append(Block.of(lambda cost=cost: core.work(cost), 1, core))
    return taken


def in_turns(core: SharedCore, costs: tuple[float, float] = (SLOW, FAST), **limits: Any) -> Any:
    """What :func:`take_blocks` gets from two sides that share a core with others."""

    def turn(side: int, steps: int) -> Block:
        core.wake()
        take: Take = Block.of if steps == WARM_UP else take_block
        return take(lambda: core.work(costs[side]), max(1, steps), core)

    return take_blocks(turn, BlockLimits(**limits), lambda _: None)


def shared(others: int, **changes: Any) -> SharedCore:
    return SharedCore(others=others, random=random.Random(3), **changes)


# ---- noticing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells_delay", [True, False])
def test_a_narrow_interval_that_cpu_time_contradicts_is_in_doubt(tells_delay: bool) -> None:
    # GIVEN steps that each wait once, whatever they need
    found = judged(single_steps(shared(6, tells_delay=tells_delay)))

    # THEN the clock says something narrow and wrong, and it is not believed
    low, high = found.wall.interval
    assert low > 0.85
    assert high - low < 0.02
    assert found.cpu is not None
    assert found.cpu.ratio == pytest.approx(0.6)
    assert found.doubt.startswith("the machine was busy: 76 % of a step (A) and 84 % of a step (B)")
    assert f"by the clock the ratio is {found.wall}, by CPU time 0.600 (0.600 to" in found.doubt
    assert [use.involuntary for use in found.uses] == [1, 1]


def test_a_quiet_machine_is_left_alone() -> None:
    found = judged(single_steps(shared(0)))

    assert found.doubt == ""
    assert found.cpu == found.wall
    assert found.wall.ratio == pytest.approx(0.6)
    assert [(use.waited, use.involuntary) for use in found.uses] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("tells_delay", [True, False])
def test_waiting_by_choice_is_time_that_a_step_takes(tells_delay: bool) -> None:
    # GIVEN two steps of equal work, of which B also waits for a file
    core = shared(0, tells_delay=tells_delay)

    def with_file() -> None:
        core.work(0.004)
        core.sleep(0.004)

    a = [Block.of(lambda: core.work(0.004), 5, core) for _ in range(10)]
    b = [Block.of(with_file, 5, core) for _ in range(10)]
    found = judged((a, b))

    assert (found.doubt, found.wall.ratio) == ("", pytest.approx(2))
    assert found.cpu is not None
    assert found.cpu.ratio == pytest.approx(1)
    assert (found.uses[1].waited, found.uses[1].voluntary) == (0, 5)


def test_waiting_in_proportion_contradicts_nothing() -> None:
    blocks = [
        [Block(4 * cost * (1 + n / 1000), cost, 3 * cost, 9) for n in range(10)]
        for cost in (SLOW, FAST)
    ]
    found = judged((blocks[0], blocks[1]))

    assert found.doubt == ""
    assert found.uses[0].waited == pytest.approx(0.75, abs=0.01)


def test_what_contradicts_what() -> None:
    clock = Estimate(0.91, (0.90, 0.92))

    assert clock.contradicts(Estimate(0.63, (0.62, 0.64)), 0.02)
    assert not clock.contradicts(Estimate(0.63, (0.40, 0.91)), 0.02)
    assert not clock.contradicts(Estimate(0.895, (0.892, 0.899)), 0.02)


def test_cpu_time_that_is_not_known() -> None:
    # GIVEN a side of an older revision, and a clock that moves by 10 ms at a time
    old = Block.received(0.001, None)
    coarse = Block(0.001, 0.0, None)
    new = Block.received(0.001, {"cpu_seconds": 0.001, "delay_seconds": 0.0, "from_later": 1})

    assert old == Block(0.001, None, None, 0, 0)
    assert new == Block(0.001, 0.001, 0.0, 0, 0)
    for other in (old, coarse):
        found = judged(([new] * 10, [other] * 10))
        assert (found.cpu, found.doubt) == (None, "")
        assert found.uses[1] == Use(cpu_seconds=None, waited=None)
        assert other.cost() == 0.001


def test_what_blocks_are_measured_out_by() -> None:
    assert Block(0.02, 0.004).cost() == 0.004
    assert Block(0.02, 0.036).cost(threads=2) == 0.02  # CPU time of both, spinning included


# ---- several threads -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited", "interval", "says"),
    [
        ((0.05, 0.09), (0.63, 0.65), ""),
        ((0.5, 0.6), (0.20, 1.4), ""),
        ((0.5, 0.5), (0.63, 0.65), "it may be anything from 0.32 to 1.28"),
        ((0.0, 0.2), (0.63, 0.65), "it may be anything from 0.51 to 0.64"),
        ((1.2, 0.5), (0.63, 0.65), "it may be anything above 0.32"),
    ],
)
def test_waiting_of_several_threads_bounds_what_is_known(
    waited: tuple[float, float], interval: tuple[float, float], says: str
) -> None:
    uses = Use(0.01, waited[0], 9), Use(0.01, waited[1], 9)
    # GIVEN CPU time that says nothing of duration
    cpu = Estimate(1.0, (0.99, 1.01))

    said = doubt(Estimate(0.64, interval), cpu, uses, threads=2, width=0.02)

    assert said.endswith(says)
    assert bool(said) == bool(says)


def test_beside_a_side_that_waited_one_that_does_not_tell_bounds_nothing() -> None:
    wall, tells, silent = Estimate(1.1, (1.08, 1.12)), Use(0.001, 0.6, 5), Use()

    def said(*uses: Use) -> str:
        return doubt(wall, None, (uses[0], uses[1]), threads=1, width=0.02, names=("then", "now"))

    assert "an unknown part of a step (then) and 60 % of a step (now)" in said(silent, tells)
    assert said(silent, tells).endswith("it may be anything above 0.44")
    assert said(tells, silent).endswith("it may be anything from 0.00 to 2.75")
    assert said(silent, silent) == said(silent, Use(0.001, 0.05, 1)) == ""


def test_without_run_delay_nothing_is_known_of_several_threads() -> None:
    blocks = [Block(0.01, 0.005, None, 3)] * 10

    assert Use.of(blocks, threads=2).waited is None
    assert Use.of(blocks, threads=1).waited == 0.5
    assert judged((blocks, blocks), threads=2).doubt == ""


# ---- blocks that do not wait out of proportion ---------------------------------------------------


def test_blocks_on_a_busy_machine_are_right_or_not_believed() -> None:
    found = in_turns(shared(6), most_seconds=1e6)

    # THEN both sides' blocks need some tens of milliseconds of the core, and the same
    assert found.steps == (5, 8)
    # THEN what one side waits more is little beside it
    result = judged(found.taken)
    assert result.wall.ratio == pytest.approx(0.6, rel=0.06)
    assert result.doubt == "" or found.stopped is not PairedStop.SETTLED


def test_a_busy_machine_does_not_shorten_blocks() -> None:
    assert in_turns(shared(0)).steps == in_turns(shared(20), most_pairs=10).steps == (5, 8)


def test_beside_a_long_step_blocks_of_the_short_one_are_longer() -> None:
    assert in_turns(shared(0), (0.1, 0.001)).steps == (1, 100)
    assert in_turns(shared(0), (0.001, 0.9)).steps == (300, 1)


def test_a_narrow_interval_in_doubt_does_not_settle() -> None:
    # GIVEN blocks that wait equally long for the first 15 pairs, and then not at all
    turns = 0

    def turn(side: int, steps: int) -> Block:
        nonlocal turns
        turns += 1
        cost, wait = (SLOW, FAST)[side], 0.02 if turns <= 4 + 30 else 0.0
        return Block(cost + wait, cost, wait, int(wait > 0))

    found = take_blocks(turn, BlockLimits(), lambda _: None)

    assert found.stopped is PairedStop.SETTLED
    assert len(found.taken[0]) > 30
    assert judged(found.taken).doubt == ""
    assert judged(found.taken).wall.ratio == pytest.approx(0.6)


def test_the_first_step_of_a_block_is_not_timed() -> None:
    core, taken = shared(0), 0

    def step() -> None:
        nonlocal taken
        taken += 1
        core.work(0.5 if taken == 1 else 0.01)

    assert take_block(step, 1, core).seconds == pytest.approx(0.01)
    assert taken == 2

    # a long one is, for what it finds in the caches is little beside it
    assert take_block(lambda: core.work(2.0), 1, core).seconds == pytest.approx(2)
    assert core.now == pytest.approx(2.51)


# ---- the system's own counters -------------------------------------------------------------------


def test_the_counters_of_this_process() -> None:
    def burn() -> None:
        start = time.thread_time()
        while time.thread_time() - start < 0.01:
            pass

    found = Block.of(burn, 2, Counters())

    assert found.seconds >= 0.0099
    assert found.cpu_seconds is not None
    assert found.cpu_seconds >= 0.0099
    assert found.involuntary >= 0
    assert found.delay_seconds is None or found.delay_seconds >= 0


def test_run_delay_is_added_up_over_threads(tmp_path: Path) -> None:
    read = Counters().delay_seconds
    assert read(tmp_path / "nowhere") is None
    (tmp_path / "7").mkdir()
    assert read(tmp_path) is None  # a kernel that does not count it
    for thread, text in (("8", "5000 1500000000 3\n"), ("9", "1 500000000 1\n")):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text, encoding="ascii")
    assert read(tmp_path) == 2.0
    (tmp_path / "9" / "schedstat").write_text("?", encoding="ascii")
    assert read(tmp_path) is None
