"""The schema of a hardware profile: clock, power, memory, and budgets.

Training memory has to fit into the largest contiguous arena (see ``memory``), less the bytes
reserved for stack and runtime. A value that needs an unknown figure is unknown, with that figure's
reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from trainfit._text import nearest, shown
from trainfit.hardware_profiles.budgets import Budgets
from trainfit.hardware_profiles.core_table import CoreTable, core_names, load_core
from trainfit.hardware_profiles.figures import (
    Bandwidth,
    CurrentPerMegahertz,
    Figure,
    FloatThroughput,
    Frequency,
    NaturalInt,
    Power,
    Reserve,
    Size,
    Table,
    Text,
    Throughput,
    Voltage,
)
from trainfit.hardware_profiles.memory import Arena, Region, contiguous, overlaps
from trainfit.hardware_profiles.quantities import format_size
from trainfit.hardware_profiles.sheet import Row, sheet


class Allocator(StrEnum):
    """What gives a training step its memory on a device."""

    ARENA = "arena"
    """One piece of memory in which every tensor of the step has a place that was planned before."""
    TORCH = "torch"
    """torch's allocator, which gives and takes memory while the step runs."""


class PowerMode(Table):
    """One power mode of a board, with the clocks it allows.

    Attributes:
        name: The vendor's name.
        nvpmodel: Its id for the ``nvpmodel`` command, if known.
        power: Its power budget.
        cpu_clock, gpu_clock: Highest clocks in this mode, if known.
    """

    name: Text
    nvpmodel: NaturalInt | None = None
    power: Power
    cpu_clock: Frequency | None = None
    gpu_clock: Frequency | None = None


class Device(Table):
    """A hardware profile.

    Attributes:
        name: Slug; the stem of its file.
        title: Its full name.
        short: Short name of at most 7 characters, for the head of a column.
        kind: Microcontroller or single-board computer.
        core: The processor.
        cycles: The cycle table of a microcontroller's core, see ``core_table``.
        fpu: Whether it has floating-point hardware.
        note: Assumptions of the figures below (variant, board).
        clock: Highest CPU clock.
        supply: The voltage at which ``current_per_mhz`` is drawn.
        current_per_mhz: Current of the running core.
        power_modes: The modes of a single-board computer.
        gpu_clock, memory_bandwidth, int8_dense, int8_sparse, fp32_peak: Peaks of a single-board
            computer.
        idle_power: Power of an idle single-board computer.
        regions: Its memory.
        reserved: RAM that stack and runtime (or operating system) take from the largest arena.
        flash: Its storage.
        flash_reserved: Storage that the program takes.
        flash_at_least: Storage that is free for certain where ``flash`` or ``flash_reserved`` is
            unknown: what needs no more fits, what needs more is unknown.
        tight_margin: A margin below this fraction of the usable bytes is ``tight``.
        budgets: Limits for one training step, none above what the device has.
    """

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
            description="small letters and digits, with single hyphens",
        ),
    ]
    title: Text
    short: Annotated[str, Field(min_length=1, max_length=7)]
    kind: Literal["mcu", "sbc"]
    core: Text
    cycles: str | None = None
    fpu: StrictBool
    note: str = ""
    clock: Frequency
    supply: Voltage | None = None
    current_per_mhz: CurrentPerMegahertz | None = None
    power_modes: tuple[PowerMode, ...] = ()
    gpu_clock: Frequency | None = None
    memory_bandwidth: Bandwidth | None = None
    int8_dense: Throughput | None = None
    int8_sparse: Throughput | None = None
    fp32_peak: FloatThroughput | None = None
    idle_power: Power | None = None
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    reserved: Reserve
    flash: Size
    flash_reserved: Reserve
    flash_at_least: Size | None = None
    tight_margin: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.10
    budgets: Budgets = Budgets()

    @field_validator("cycles")
    @classmethod
    def _core_has_a_table(cls, cycles: str | None) -> str | None:
        names = core_names()
        if cycles is not None and cycles not in names:
            raise ValueError(f"unknown core {shown(cycles)}; {nearest(cycles, names)}")
        return cycles

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        # Only the first contradiction is reported: others usually follow from it.
        for problem in (
            *_duplicates("regions", [region.name for region in self.regions]),
            *_duplicates("power_modes", [mode.name for mode in self.power_modes]),
            *overlaps(self.regions),
            *self._missing_for_kind(),
            *self._nothing_left(),
            *self._bound_of_what_is_known(),
            *self._more_than_there_is(),
        ):
            raise ValueError(problem)
        return self

    def _missing_for_kind(self) -> Iterable[str]:
        if self.kind == "sbc" and self.cycles is not None:
            yield "cycles: cycle tables are for microcontrollers; leave it out for kind = 'sbc'"
        if self.kind == "mcu":
            for key, figure, example in (
                ("supply", self.supply, Voltage.example),
                ("current_per_mhz", self.current_per_mhz, CurrentPerMegahertz.example),
            ):
                if figure is None:
                    yield (
                        f"{key}: missing, but kind = 'mcu' needs it; write {example}"
                        ' or { unknown = "why" }'
                    )
        elif not self.power_modes:
            yield (
                "power_modes: missing, but kind = 'sbc' needs at least one; write"
                f' [[power_modes]] with name = "..." and power = {Power.example}'
            )

    def _nothing_left(self) -> Iterable[str]:
        if not any(region.arena for region in self.regions):
            yield "regions: no region has arena = true; mark those that may hold training data"
        arena = self.largest_arena
        for key, reserve, held, place in (
            ("reserved", self.reserved, arena and arena.size_bytes, "the largest arena"),
            ("flash_reserved", self.flash_reserved, self.flash.value, "flash"),
        ):
            if reserve.value is not None and held is not None and reserve.value >= held:
                yield (
                    f"{key}.value: {reserve.value} bytes leave nothing of {place} with its"
                    f" {held} bytes; write less than {held}"
                )

    def _bound_of_what_is_known(self) -> Iterable[str]:
        if self.flash_at_least is None:
            return
        if self.usable_flash_bytes is not None:
            yield "flash_at_least: flash and flash_reserved are known; leave the lower bound out"
        if self.flash_at_least.value is None:
            yield "flash_at_least: a bound that is unknown is none; leave it out"

    def _more_than_there_is(self) -> Iterable[str]:
        for key, budget, usable, place in (
            ("ram", self.budgets.ram_bytes, self.usable_ram_bytes, "RAM in one piece"),
            ("flash", self.budgets.flash_bytes, self.usable_flash_bytes, "flash"),
        ):
            if budget is not None and usable is not None and budget > usable:
                yield (
                    f"budgets.{key}: {format_size(budget)} is more than the {format_size(usable)}"
                    f" of {place} that the device has to spare; write at most that"
                )

    @property
    def allocator(self) -> Allocator:
        """What gives a step its memory here: no torch runs on a microcontroller."""
        return Allocator.ARENA if self.kind == "mcu" else Allocator.TORCH

    @property
    def core_table(self) -> CoreTable | None:
        """Cycles per operation, None if the profile names no core (see ``cycles_unknown``)."""
        return None if self.cycles is None else load_core(self.cycles)

    @property
    def cycles_unknown(self) -> str:
        """Why ``core_table`` is None; empty if it is not."""
        if self.cycles is not None:
            return ""
        if self.kind == "sbc":
            return "cycle tables are for microcontrollers"
        return f"the profile names no cycle table; add cycles = one of {', '.join(core_names())}"

    @property
    def clock_unknown(self) -> str:
        """Why the CPU clock has no value; empty if it has one."""
        return _first_unknown([("clock", self.clock)])

    @property
    def arenas(self) -> tuple[Arena, ...]:
        """All contiguous arenas, by address; regions without one come last."""
        return contiguous(self.regions)

    @property
    def largest_arena(self) -> Arena | None:
        """The largest contiguous arena, None if a size is unknown."""
        arenas = self.arenas
        if not arenas or any(arena.size_bytes is None for arena in arenas):
            return None
        return max(arenas, key=lambda arena: arena.size_bytes or 0)

    @property
    def usable_ram_bytes(self) -> int | None:
        """Contiguous bytes for training, None if a figure is unknown."""
        largest = self.largest_arena
        if largest is None or largest.size_bytes is None or self.reserved.value is None:
            return None
        return largest.size_bytes - self.reserved.value

    @property
    def ram_unknown(self) -> str:
        """Why ``usable_ram_bytes`` is None; empty if it is not."""
        needed: list[tuple[str, Figure]] = [
            (f"the size of region {region.name}", region.size)
            for region in self.regions
            if region.arena
        ]
        return _first_unknown([*needed, ("reserved", self.reserved)])

    @property
    def usable_flash_bytes(self) -> int | None:
        """Bytes of storage besides the program, None if a figure is unknown."""
        if self.flash.value is None or self.flash_reserved.value is None:
            return None
        return self.flash.value - self.flash_reserved.value

    @property
    def flash_unknown(self) -> str:
        """Why ``usable_flash_bytes`` is None; empty if it is not."""
        return _first_unknown([("flash", self.flash), ("flash_reserved", self.flash_reserved)])

    @property
    def free_flash_bytes(self) -> int | None:
        """``usable_flash_bytes``, or what is free at least where that is unknown."""
        least = self.flash_at_least
        return least.value if self.flash_unknown and least else self.usable_flash_bytes

    def describe(self) -> list[Row]:
        """Every figure of the profile with its source, then the values derived from them."""
        return sheet(self)


def _first_unknown(figures: Iterable[tuple[str, Figure]]) -> str:
    for label, figure in figures:
        if figure.value is None:
            return f"{label} is unknown: {figure.unknown}"
    return ""


def _duplicates(key: str, names: list[str]) -> Iterable[str]:
    for name, count in Counter(names).items():
        if count > 1:
            last = len(names) - 1 - names[::-1].index(name)
            where = f"{key}[{last + 1}].name"
            yield f"{where}: {shown(name)} is there {count} times; give each its own name"
