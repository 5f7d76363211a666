"""The arena of a device view: every block in its place."""

from __future__ import annotations

from trainfit.bench.trace.arena import Arena, Lifetime, check_arena
from trainfit.bench.trace.device import DeviceView
from trainfit.bench.trace.planner import plan_arena


def arena_of(view: DeviceView) -> Arena:
    """Where the blocks of a device view lie, checked.

    Raises:
        ArenaError: They do not lie as they have to: a fault of the planner.
    """
    blocks = [Lifetime(each.number, each.bytes, each.born, each.died) for each in view.blocks]
    arena = plan_arena(blocks)
    check_arena(blocks, arena)
    return arena
