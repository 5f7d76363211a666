"""The largest sizes of several algorithms on several devices, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainfit.bench.cli.output import Column, unseen
from trainfit.bench.cli.reports.table import whose_ram
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Dimension
from trainfit.bench.sizing.measured_largest import MeasuredLargest
from trainfit.hardware_profiles import Device, format_bytes

NONE_FITS = "none"


def columns(dimension: Dimension) -> tuple[Column, ...]:
    """What there is to know about one pair."""
    return (
        Column("device", "device"),
        Column("workload", "algorithm"),
        Column("size", f"largest {dimension}", _size, right=True),
        Column("ram_bytes", "RAM", lambda n: "-" if n is None else format_bytes(n), right=True),
        Column("status", "verdict"),
        Column("answered_by", "by"),
        *unseen("algorithm options model batch_size predicted_size refuted margin unit reason"),
        *unseen("judged_by torch_ram_bytes"),
    )


def _size(size: int | None) -> str:
    return NONE_FITS if size is None else f"{size:,}"


def row(device: Device, asked: Workload, found: MeasuredLargest | str) -> dict[str, Any]:
    """One pair; a text says why there is no answer."""
    made: dict[str, Any] = {
        "device": device.name,
        "workload": asked.label.split(f" {asked.model} ")[0],
        "algorithm": asked.algorithm,
        "options": asked.options,
    }
    if isinstance(found, str):
        return made | {"status": "unknown", "reason": found}
    answer, predicted = found.answer, found.predicted
    verdict = answer.verdict if answer else predicted.probe.verdict
    if found.refuted and answer is None:
        verdict = found.steps[0].verdict
    workload = answer.confirmed.form.workload if answer else predicted.workload
    measured = bool(found.steps)
    return made | {
        "size": found.size,
        "ram_bytes": answer.ram_bytes if answer else predicted.probe.ram_bytes,
        "judged_by": str(answer.ram.allocator if answer else device.allocator),
        "torch_ram_bytes": (
            answer.confirmed.ram_bytes if answer else predicted.probe.torch_ram_bytes
        ),
        "status": str(verdict.status),
        "answered_by": "measurement" if measured else "prediction",
        "model": workload.model,
        "batch_size": workload.batch_size,
        "predicted_size": predicted.size,
        "refuted": found.refuted,
        "margin": verdict.margin,
        "unit": verdict.unit,
        "reason": found.reason or verdict.reason,
    }


def notes(rows: Sequence[Mapping[str, Any]], dimension: Dimension) -> list[str]:
    """What the table does not say."""
    lines = [f"where no {dimension} fits, RAM and verdict are those of the smallest"]
    lines += whose_ram(rows)
    for each in rows:
        where = f"{each['device']}, {each['workload']}"
        if each.get("refuted"):
            lines.append(
                f"MEASURED OTHERWISE: {where}: by prediction {dimension}"
                f" {each['predicted_size']:,} fits; measured, it does not"
            )
        elif each.get("size") is None:
            lines.append(f"{where}: {each['reason']}")
    return lines
