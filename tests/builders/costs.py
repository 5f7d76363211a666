"""Made-up devices, cycle tables and steps, with figures that can be worked out by hand."""

from __future__ import annotations

from typing import Any

from trainfit.bench.costs.intervals import DeviceModel, Modelled
from trainfit.bench.costs.roofline import CACHE_BYTES
from trainfit.bench.records.schema import Bounds, Evidence, PhaseOperations, StageOperations
from trainfit.bench.verdicts.judge import ResourceDemand
from trainfit.hardware_profiles import CoreTable, Device, parse_device
from trainfit.hardware_profiles.core_table import parse_core

HEAD = """
name = "board"
title = "Board"
short = "board"
core = "core"
fpu = true
reserved = { value = 1000, unit = "B", source = "assumption" }
flash_reserved = { value = 10000, unit = "B", source = "assumption" }
"""
REGION = """
[[regions]]
name = "A"
size = { value = 101000, unit = "B", source = "sheet" }
arena = true
"""
FLASH = '{ value = 60000, unit = "B", source = "sheet" }'
MCU = {
    "flash": FLASH,
    "kind": '"mcu"',
    "cycles": '"cortex-m4f"',
    "clock": '{ value = 1000000, unit = "Hz", source = "sheet, clock" }',
    "supply": '{ value = 2.0, unit = "V", source = "sheet, supply" }',
    "current_per_mhz": '{ value = 100.0, unit = "uA/MHz", source = "sheet, current" }',
}
"""1 microsecond and 200 picojoules a cycle."""

SBC = {
    "flash": FLASH,
    "kind": '"sbc"',
    "clock": '{ unknown = "-" }',
    "fp32_peak": '{ value = 1.0, unit = "TFLOPS", source = "sheet, peak" }',
    "memory_bandwidth": '{ value = 1e9, unit = "B/s", source = "sheet, bandwidth" }',
    "int8_dense": '{ value = 4.0, unit = "TOPS", source = "sheet, INT8" }',
    "idle_power": '{ value = 2.0, unit = "W", source = "sheet, idle" }',
}
MODES = """
[[power_modes]]
name = "high"
power = { value = 10.0, unit = "W", source = "sheet, modes" }
[[power_modes]]
name = "low"
power = { value = 5.0, unit = "W", source = "sheet, modes" }
[[power_modes]]
name = "boost"
power = { unknown = "not in the sheet" }
"""
UNKNOWN = '{ unknown = "not in the sheet" }'


def mcu(budgets: str = "", **changes: str | None) -> Device:
    """A microcontroller with 100,000 usable bytes of RAM and 50,000 of flash."""
    return _device(MCU | changes, REGION, budgets)


def sbc(budgets: str = "", modes: str = MODES, **changes: str | None) -> Device:
    """A board with a GPU of 10^12 operations and a memory of 10^9 bytes a second."""
    return _device(SBC | changes, modes + REGION, budgets)


def _device(keys: dict[str, Any], tables: str, budgets: str) -> Device:
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    text = "\n".join([HEAD, *lines, tables, "[budgets]", budgets])
    return parse_device(text.encode(), "board.toml", stem="board")


def cycle(low: float, high: float) -> str:
    return f'{{ low = {low}, high = {high}, unit = "cycles", source = "sheet" }}'


def core(store: str = cycle(1, 3)) -> CoreTable:
    """A cycle table that knows float32 and INT8, and of element operations additions only."""
    return parse_core(
        f"""
name = "made-up"
title = "Made up"
load = {cycle(1, 2)}
store = {store}
loop = {cycle(1, 4)}
[mac]
fp32 = {cycle(1, 5)}
int8 = {cycle(0.5, 2)}
[operations.fp32]
add = {cycle(1, 2)}
""".encode(),
        "made-up.toml",
    )


def phase(**tallies: Any) -> PhaseOperations:
    return PhaseOperations(**{"macs": {}, "elementwise": {}} | tallies)


def stage(
    phases: dict[str, PhaseOperations] | None = None,
    name: str = "all",
    static_bytes: int | None = 10_000_000 + CACHE_BYTES,
) -> StageOperations:
    """A step of one stage; by default one of 1,000 float32 multiply-accumulates."""
    phases = phases or {"forward": phase(macs={"fp32": 1_000})}
    return StageOperations(stage=name, static_bytes=static_bytes, phases=phases)


def modelled(low: float, high: float, model: str = "cycles") -> Modelled:
    return Modelled(
        evidence=Evidence.MODELLED, model=model, source="sheet", step=Bounds(low=low, high=high)
    )


def not_modelled(reason: str) -> Modelled:
    return Modelled(evidence=Evidence.UNAVAILABLE, model="cycles", reason=reason)


def needs(**changes: Any) -> ResourceDemand:
    """20,000 bytes of RAM; 1 to 4 ms, 1 to 4 mJ a step of 10 samples, as modelled."""
    values: dict[str, Any] = {
        "static_bytes": 15_000,
        "peak_dynamic_bytes": 5_000,
        "storage_bytes": 0,
        "evidence": Evidence.ALLOCATOR,
        "batch_size": 10,
        "stages": 1,
        "modelled": DeviceModel(
            device="board",
            latency=modelled(1e-3, 4e-3),
            energy=modelled(1e-3, 4e-3, "supply x current per MHz x cycles"),
            energy_per_sample=Bounds(low=1e-4, high=4e-4),
        ),
    }
    chosen = values | changes
    model = chosen.pop("modelled")
    return ResourceDemand(model=lambda: model, **chosen)
