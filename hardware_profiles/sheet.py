"""The device sheet: every figure of a profile as a person reads it, each with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .figures import format_bytes

if TYPE_CHECKING:
    from .schema import Device


class Row(NamedTuple):
    """One line of a device sheet: which figure, its value for people, where it comes from."""

    figure: str
    value: str
    source: str


def sheet(device: Device) -> list[Row]:
    """Every figure of a profile with its source, then what follows from them."""
    rows: list[Row] = []
    for label, figure in (
        ("CPU clock", device.clock),
        ("supply", device.supply),
        ("current per MHz", device.current_per_mhz),
        ("GPU clock", device.gpu_clock),
        ("memory bandwidth", device.memory_bandwidth),
        ("INT8 dense", device.int8_dense),
        ("INT8 sparse", device.int8_sparse),
    ):
        if figure is not None:
            rows.append(Row(label, figure.text, figure.origin))
    for mode in device.power_modes:
        label = f"mode {mode.name}"
        if mode.nvpmodel is not None:
            label += f" (nvpmodel {mode.nvpmodel})"
        rows.append(Row(label, mode.power.text, mode.power.origin))
        for part, clock in (("CPU", mode.cpu_clock), ("GPU", mode.gpu_clock)):
            if clock is not None:
                rows.append(Row(f"mode {mode.name} {part} clock", clock.text, clock.origin))
    for region in device.regions:
        where = "" if region.base is None else f" at 0x{region.base:08X}"
        use = "" if region.arena else ", no arena"
        origin = f"{region.size.origin}; {region.note}" if region.note else region.size.origin
        rows.append(Row(f"RAM {region.name}", f"{region.size.text}{where}{use}", origin))
    rows += [
        Row("RAM reserved", device.reserved.text, device.reserved.origin),
        Row("flash", device.flash.text, device.flash.origin),
        Row("flash reserved", device.flash_reserved.text, device.flash_reserved.origin),
    ]
    for label, limit, unit in (
        ("budget: step latency", device.budgets.step_latency_seconds, "s"),
        ("budget: energy per step", device.budgets.energy_per_step_joules, "J"),
    ):
        if limit is not None:
            rows.append(Row(label, f"{limit:g} {unit}", "set in this profile"))
    for arena in device.arenas:
        size = "unknown" if arena.size_bytes is None else format_bytes(arena.size_bytes)
        rows.append(Row(f"arena {arena.name}", size, "adjoining regions above"))
    usable = device.usable_ram_bytes
    rows.append(
        Row(
            "usable RAM",
            "unknown" if usable is None else f"{format_bytes(usable)} ({usable:,} B)",
            device.ram_unknown or "largest arena less RAM reserved",
        )
    )
    return rows
