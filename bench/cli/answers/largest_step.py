"""The largest batch of a training step of one's own, on several devices."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output, unseen
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.sizing.largest_step import largest_batch
from trainfit.bench.sizing.own_step import OwnStep, measure_own_step
from trainfit.bench.verdicts.judge import FITTING
from trainfit.bench.verdicts.memory import worst
from trainfit.hardware_profiles import Device

COLUMNS = unseen("device largest_batch ram_bytes above_ram_bytes measured_ram_bytes status tried")


def answer(asked: Asked, target: str) -> None:
    """Trace a step at batch after batch, measure the answer, and end the command."""
    rows, printed, refuted = list[dict[str, Any]](), list[str](), False
    for device in asked.devices.values():
        with SpinnerLine(f"looking for the largest batch of {target} on {device.name}"):
            found = largest_batch(target, Path.cwd(), partial(_fits, asked, device))
        row = {
            "device": device.name,
            "largest_batch": found.size,
            "ram_bytes": found.step.ram_bytes,
            "above_ram_bytes": found.above and found.above.ram_bytes,
            "measured_ram_bytes": None,
            "status": str(worst(found.step.verdicts(device, asked.budgets)).status),
            "tried": found.tried,
        }
        rows.append(row)
        if found.size is None:
            printed.append(
                f"{target} on {device.name}: no batch fits; one sample needs"
                f" {found.step.ram_bytes:,} B of RAM (traced)"
            )
            continue
        more = "" if found.above is None else f"; a sample more needs {found.above.ram_bytes:,} B"
        printed.append(
            f"{target} on {device.name}: the largest batch that fits is {found.size:,}, which needs"
            f" {found.step.ram_bytes:,} B of RAM (traced{more})"
        )
        if asked.measure is not None:
            with SpinnerLine(f"measuring batch {found.size:,}"):
                step = measure_own_step(target, Path.cwd(), batch_size=found.size)
            row["measured_ram_bytes"] = step.ram_bytes
            row["status"] = str(worst(step.verdicts(device, asked.budgets)).status)
            refuted = refuted or not _fits(asked, device, step)
            printed.append(f"measured: {step.ram_bytes:,} B of RAM: {row['status']}")
    out = output()
    out.fact("step", target)
    out.table("devices", COLUMNS, rows, printed=())
    out.show(*printed)
    out.show("More samples are taken to need more; only the sizes on the way were traced.")
    asked.end(sure=any(row["largest_batch"] is not None for row in rows), refuted=refuted)


def _fits(asked: Asked, device: Device, step: OwnStep) -> bool:
    return worst(step.verdicts(device, asked.budgets)).status in FITTING
