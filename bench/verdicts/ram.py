"""RAM of a training step: under torch's allocator, and in an arena that was planned beforehand.

torch's allocator holds a tensor for as long as Python names it. Where no torch runs, a step is C in
one piece of memory, in which every tensor has a place from its first write to its last read: that
needs less, and another stage may need the most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trainfit.bench.records.schema.base import Evidence
from trainfit.bench.records.schema.memory import Memory
from trainfit.hardware_profiles import Allocator

NOT_PLANNED = "nobody has planned one"

IN_WORDS = {
    Allocator.ARENA: "in a planned arena",
    Allocator.TORCH: "under torch",
}
"""Whose bytes are meant, as the end of a sentence."""


@dataclass(frozen=True)
class PlannedRam:
    """RAM with a planned arena, at the stage that needs the most of it.

    Attributes:
        static_bytes: Resident before, during and after a step.
        arena_bytes: Size of the arena.
        gap_bytes: How much of that is there only because other blocks are in the way; None where
            not known, as in records.
    """

    static_bytes: int
    arena_bytes: int
    gap_bytes: int | None = field(default=None, compare=False)

    @property
    def ram_bytes(self) -> int:
        """Both together."""
        return self.static_bytes + self.arena_bytes


Plan = Callable[[], "PlannedRam | str"]
"""Gives the RAM with a planned arena, or says why there is none. Planning takes as long as tracing,
so that it is asked only for devices that plan."""


def not_planned() -> str:
    """The plan of what nobody has planned."""
    return NOT_PLANNED


def planned_of(memory: Memory) -> PlannedRam | str:
    """RAM with a planned arena as a record has it, or why its arena says nothing."""
    for stage in memory.stages:
        if stage.no_arena:
            at = f"stage {stage.stage}: " if len(memory.stages) > 1 else ""
            return f"{at}{stage.no_arena}"
    sizes = [PlannedRam(each.static_bytes, each.arena_bytes or 0) for each in memory.stages]
    return max(sizes, key=lambda each: each.ram_bytes)


@dataclass(frozen=True)
class RamNeed:
    """RAM that is judged.

    Attributes:
        static_bytes: Resident before, during and after a step; None where not measured.
        dynamic_bytes: Peak of what comes and goes, or size of the arena; None where not measured.
        allocator: What gives the dynamic bytes.
        evidence: How they were obtained.
        no_arena: Why torch's peak stands in for an arena; empty where it does not.
    """

    static_bytes: int | None
    dynamic_bytes: int | None
    allocator: Allocator
    evidence: Evidence
    no_arena: str = ""

    @property
    def ram_bytes(self) -> int | None:
        """Both together; None where one is not measured."""
        if self.static_bytes is None or self.dynamic_bytes is None:
            return None
        return self.static_bytes + self.dynamic_bytes


def ram_under(allocator: Allocator, torch: RamNeed, plan: Plan) -> RamNeed:
    """RAM under an allocator.

    Args:
        allocator: The device's.
        torch: Static bytes and torch's peak, as measured or traced.
        plan: Gives what an arena would need. Without one, torch's peak is judged: it may be more
            than the device needs, and hardly ever less.
    """
    if allocator is Allocator.TORCH:
        return torch
    planned = plan()
    if isinstance(planned, str):
        return RamNeed(
            torch.static_bytes, torch.dynamic_bytes, Allocator.TORCH, torch.evidence, planned
        )
    return RamNeed(planned.static_bytes, planned.arena_bytes, allocator, Evidence.PLANNED)
