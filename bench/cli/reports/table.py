"""Several algorithms on several devices, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainfit.bench.cli.output import Column, unseen
from trainfit.bench.cli.reports.fit import ram_fact
from trainfit.bench.sizing.measuring import Confirmed
from trainfit.bench.sizing.pareto import Axis, Combination
from trainfit.bench.verdicts.intervals import format_quantity
from trainfit.bench.verdicts.ram import IN_WORDS
from trainfit.hardware_profiles import Allocator, format_bytes

FITS_NOWHERE = "by prediction it fits nowhere"

FRONT = "*"
"""Marks what is on the Pareto front of its device."""


def _cost(row: float | None) -> str:
    return "unknown" if row is None else format_quantity(row, "s")


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else format_bytes(count)


def columns(rows: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """What there is to know; people see torch's figure where another is judged."""
    other = "torch" if any(row["judged_by"] == Allocator.ARENA for row in rows) else ""
    return (
        Column("device", "device"),
        Column("workload", "algorithm"),
        Column("ram_bytes", "RAM", format_bytes, right=True),
        Column("torch_ram_bytes", other, format_bytes, right=True),
        Column("usable_ram_bytes", "of", _bytes, right=True),
        Column("status", "verdict"),
        Column("sample_seconds_high", "s/sample", _cost, right=True),
        Column("front", "front", lambda found: FRONT if found else ""),
        *unseen("algorithm options model batch_size evidence decides margin unit reason"),
        *unseen("judged_by arena_ram_bytes arena_gap_bytes no_arena"),
        *unseen("predicted_bytes refuted sample_seconds_low sample_operations front_axis"),
        *unseen("why_not_measured why_no_time"),
    )


def row(each: Combination, axis: Axis, *, on_front: bool) -> dict[str, Any]:
    """One combination."""
    workload, verdict = each.confirmed.form.workload, each.verdict
    seconds = each.sample_seconds
    label = workload.label.split(f" {workload.model} ")[0]
    return {
        "device": each.device.name,
        "workload": label,
        **ram_fact(each.confirmed.demand(each.device), each.device),
        "usable_ram_bytes": each.device.usable_ram_bytes,
        "status": str(verdict.status),
        "sample_seconds_high": seconds.high if seconds else None,
        "sample_seconds_low": seconds.low if seconds else None,
        "front": on_front,
        "algorithm": workload.algorithm,
        "options": workload.options,
        "model": workload.model,
        "batch_size": workload.batch_size,
        "evidence": str(verdict.evidence),
        "decides": verdict.budget,
        "margin": verdict.margin,
        "unit": verdict.unit,
        "reason": verdict.reason,
        "predicted_bytes": each.confirmed.form.ram_on(each.device),
        "refuted": each.refuted,
        "sample_operations": each.confirmed.form.sample_operations,
        "front_axis": str(axis),
        "why_not_measured": each.confirmed.reason or None,
        "why_no_time": each.why_no_time or None,
    }


def whose_ram(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Under which allocator the RAM of a row is: a line for each, with its devices."""
    devices: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.get("judged_by"):
            devices.setdefault(row["judged_by"], {})[row["device"]] = None
    return [
        f"RAM {IN_WORDS[Allocator(name)]}: {', '.join(found)}" for name, found in devices.items()
    ]


def legend(axes: Sequence[Axis]) -> list[str]:
    """What the front is a front of."""
    lines = [
        f"{FRONT} = on the device's Pareto front: of what fits, no other needs as little RAM and"
        " as little time per training sample (modelled, upper end)"
    ]
    if Axis.OPERATIONS in axes:
        lines.append("where a time is unknown, operations per sample stand in for it")
    return lines


def notes(group: Sequence[Combination]) -> list[str]:
    """What else there is to say about one device."""
    name = group[0].device.name
    lines = []
    if not any(each.fits for each in group):
        lines.append(
            f"nothing is sure to fit {name}; trainfit fit with one algorithm and this device"
            " searches what would"
        )
    for each in group:
        other = each.verdict.budget != "ram" or each.verdict.status == "unknown"
        if other and not each.fits:
            lines.append(f"{name}, {each.confirmed.form.workload.algorithm}: {each.verdict.reason}")
    whys = dict.fromkeys(each.why_no_time for each in group if each.why_no_time)
    lines += [f"time on {name}: {why}" for why in whys]
    return lines


def unmeasured(found: Iterable[Confirmed]) -> list[str]:
    """What was not measured, and why."""
    reasons: dict[str, list[str]] = {}
    for each in found:
        reasons.setdefault(each.reason, []).append(each.form.workload.algorithm)
    return [f"not measured: {', '.join(names)} ({reason})" for reason, names in reasons.items()]
