"""Every step fits in an arena of the bytes that are alive at its peak: nothing is lost to gaps."""

from __future__ import annotations

from tests.contract.cases import FEW
from trainfit.algorithms import build_on_meta
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.lifetimes import BlockLifetimes
from trainfit.bench.trace.arena import Lifetime, check_arena
from trainfit.bench.trace.planner import plan_arena
from trainfit.bench.trace.tracing import trace_stage

ROWS = 12


def lifetimes(stream: Stream) -> list[Lifetime]:
    """Blocks of a step from its births and deaths; an instant is a number of events."""
    lives = BlockLifetimes(stream)
    return [
        Lifetime(event, size, event, int(lives.died[event]))
        if size > 0
        else Lifetime(event, -size, -1, event)  # it was there before the step
        for event, size in enumerate(lives.sizes.tolist())
        if size > 0 or lives.born[event] < 0
    ]


def test_nothing_is_lost_to_fragmentation() -> None:
    lost: dict[str, int] = {}
    plans = 0
    for name, options, model in FEW[::3]:
        algorithm = build_on_meta(name, model, options)
        for index, stage in enumerate(algorithm.stages):
            algorithm.enter_stage(index)
            trace = trace_stage(algorithm, ROWS)
            blocks = lifetimes(trace.stream)
            arena = plan_arena(blocks)
            check_arena(blocks, arena)
            bytes_alive = trace.torch_view.peak_dynamic_bytes
            # Each of the blocks may be rounded up to a multiple of 4 bytes.
            assert 0 <= arena.bound_bytes - bytes_alive <= 3 * len(blocks)
            plans += 1
            if arena.fragmentation_bytes:
                lost[f"{name} {options} {stage}"] = arena.fragmentation_bytes
    assert plans > 40
    assert len(lost) <= plans // 100, lost
