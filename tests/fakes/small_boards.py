"""Devices of a few thousand bytes, for tests in which every size can be tried."""

from __future__ import annotations

from trainfit.hardware_profiles import Device, parse_device

UNKNOWN = '{ unknown = "nobody knows" }'


def size(count: int) -> str:
    return f'{{ value = {count}, unit = "B", source = "sheet" }}'


def board(
    ram: int,
    *,
    flash: int | None = 10**9,
    clock: int | None = None,
    current: float | None = None,
    budgets: str = "",
    name: str = "small",
) -> str:
    """The text of a device file: one arena of ``ram`` bytes, nothing reserved."""
    hertz = UNKNOWN if clock is None else f'{{ value = {clock}, unit = "Hz", source = "sheet" }}'
    amperes = (
        UNKNOWN
        if current is None
        else f'{{ value = {current}, unit = "uA/MHz", source = "sheet" }}'
    )
    return f"""
name = "{name}"
title = "A small one"
short = "small"
kind = "mcu"
core = "Arm Cortex-M4"
cycles = "cortex-m4f"
fpu = true
clock = {hertz}
supply = {{ value = 3.0, unit = "V", source = "sheet" }}
current_per_mhz = {amperes}
reserved = {size(0)}
flash = {UNKNOWN if flash is None else size(flash)}
flash_reserved = {size(0)}
{f"[budgets]{chr(10)}{budgets}" if budgets else ""}
[[regions]]
name = "RAM"
size = {size(ram)}
arena = true
"""


def small(
    ram: int,
    *,
    flash: int | None = 10**9,
    clock: int | None = None,
    current: float | None = None,
    budgets: str = "",
) -> Device:
    text = board(ram, flash=flash, clock=clock, current=current, budgets=budgets)
    return parse_device(text.encode(), "small.toml", stem="small")


def with_torch(ram: int, *, flash: int | None = 10**9) -> Device:
    """A board of the same size that runs torch: its steps have no planned arena."""
    text = board(ram, flash=flash)
    changes = {
        'kind = "mcu"': 'kind = "sbc"',
        'cycles = "cortex-m4f"\n': "",
        "[[regions]]": f'[[power_modes]]\nname = "on"\npower = {UNKNOWN}\n[[regions]]',
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    return parse_device(text.encode(), "small.toml", stem="small")
