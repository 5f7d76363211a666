"""The device sheet: every figure of a profile as text for people, each with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trainfit._text import format_bytes
from trainfit.hardware_profiles.quantities import format_joules, format_seconds, format_size

if TYPE_CHECKING:
    from trainfit.hardware_profiles.budgets import Budgets
    from trainfit.hardware_profiles.core_table import CoreTable
    from trainfit.hardware_profiles.schema import Device

_SET = "set in this profile"


class Row(NamedTuple):
    """One line of a device sheet: the figure, its value for people, and its source."""

    figure: str
    value: str
    source: str


def sheet(device: Device) -> list[Row]:
    """Every figure of a profile with its source, then the values derived from them."""
    rows: list[Row] = []
    for label, figure in (
        ("CPU clock", device.clock),
        ("supply", device.supply),
        ("current per MHz", device.current_per_mhz),
        ("GPU clock", device.gpu_clock),
        ("memory bandwidth", device.memory_bandwidth),
        ("INT8 dense", device.int8_dense),
        ("INT8 sparse", device.int8_sparse),
        ("FP32 peak", device.fp32_peak),
        ("idle power", device.idle_power),
    ):
        if figure is not None:
            rows.append(Row(label, figure.text, figure.origin))
    rows += _cycles(device)
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
    if device.flash_at_least is not None:
        rows.append(
            Row("flash free at least", device.flash_at_least.text, device.flash_at_least.origin)
        )
    rows += _budgets(device.budgets)
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


def _cycles(device: Device) -> list[Row]:
    """The cycle table of a microcontroller's core, or the reason why there is none."""
    core = device.core_table
    if core is None:
        return [Row("cycles", "unknown", device.cycles_unknown)] if device.kind == "mcu" else []
    rows = [Row("cycles", core.name, f"cores/{core.name}.toml: {core.title}. {core.note}".strip())]
    for label, figure in (("load", core.load), ("store", core.store), ("loop", core.loop)):
        rows.append(Row(f"cycles: {label}", figure.text, figure.origin))
    for number_format, figure in core.mac.items():
        value = figure.text
        if "unknown" not in (value, core.load.text, core.loop.text):
            low, high = core.mac_cycles(number_format)
            value = f"{value}; {low:.3g} to {high:.3g} with loads and loop"
        rows.append(Row(f"cycles: {number_format} multiply-accumulate", value, figure.origin))
    return rows + _operations(core)


def _operations(core: CoreTable) -> list[Row]:
    return [
        Row(f"cycles: {number_format} {kind}", figure.text, figure.origin)
        for number_format, kinds in core.operations.items()
        for kind, figure in kinds.items()
    ]


def _budgets(budgets: Budgets) -> list[Row]:
    rows: list[Row] = []
    for label, count in (("RAM", budgets.ram_bytes), ("flash", budgets.flash_bytes)):
        if count is not None:
            rows.append(Row(f"budget: {label}", format_size(count), _SET))
    if budgets.step_latency_seconds is not None:
        rows.append(Row("budget: step latency", format_seconds(budgets.step_latency_seconds), _SET))
    if budgets.energy_per_step_joules is not None:
        text = format_joules(budgets.energy_per_step_joules)
        rows.append(Row("budget: energy per step", text, _SET))
    share = budgets.energy_per_sample_joules
    if share is not None:
        assert budgets.battery_joules is not None
        battery = (
            f"{format_joules(budgets.battery_joules)} for {budgets.training_samples:,} samples"
        )
        rows.append(Row("budget: battery", battery, _SET))
        rows.append(
            Row("budget: energy per sample", format_joules(share), "battery over training samples")
        )
    return rows
