"""The largest batch of a training step of one's own, on several devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output, unseen
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.sizing.largest_step import search
from trainfit.bench.sizing.own_step import OwnStep, measure_own_step, predict_own_step
from trainfit.bench.sizing.own_step_arena import joined
from trainfit.bench.verdicts.judge import FITTING
from trainfit.bench.verdicts.memory import worst
from trainfit.bench.verdicts.ram import IN_WORDS, RamNeed
from trainfit.hardware_profiles import Allocator, Device

COLUMNS = unseen(
    "device largest_batch ram_bytes above_ram_bytes measured_ram_bytes status tried",
    "judged_by torch_ram_bytes arena_ram_bytes",
)


@dataclass(frozen=True)
class Sized:
    """A step that can be had at any batch.

    Attributes:
        kind: What it is, for machines: ``step``.
        name: What a person calls it.
        traced: What it needs at a batch, from its code.
        measured: What it needs at a batch of which the trace is known, or why that cannot be
            measured.
        smallest: The smallest batch that there is.
    """

    kind: str
    name: str
    traced: Callable[[int], OwnStep]
    measured: Callable[[int, OwnStep], OwnStep | str]
    smallest: int = 1


def answer(asked: Asked, target: str) -> None:
    """Trace a step at batch after batch, measure the answer, and end the command."""
    plan = asked.plans
    answer_about(
        asked,
        Sized(
            "step",
            target,
            lambda size: predict_own_step(target, Path.cwd(), batch_size=size, plan=plan),
            lambda size, _: measure_own_step(target, Path.cwd(), batch_size=size),
        ),
    )


def answer_about(asked: Asked, sized: Sized) -> None:
    """The same of any step; a step at a batch is traced once for all devices."""
    rows, printed, refuted = list[dict[str, Any]](), list[str](), False
    traced = cache(sized.traced)
    for device in asked.devices.values():
        with SpinnerLine(f"looking for the largest batch of {sized.name} on {device.name}"):
            found = search(traced, partial(_fits, asked, device), smallest=sized.smallest)
        need = found.step.demand(device).ram(device.allocator)
        how = _how(need)
        row = {
            "device": device.name,
            "largest_batch": found.size,
            "ram_bytes": need.ram_bytes,
            "above_ram_bytes": found.above and found.above.ram_on(device),
            "measured_ram_bytes": None,
            "status": str(worst(found.step.verdicts(device, asked.budgets)).status),
            "tried": found.tried,
            "judged_by": str(need.allocator),
            "torch_ram_bytes": found.step.ram_bytes,
            "arena_ram_bytes": found.step.arena_ram_bytes,
        }
        rows.append(row)
        if found.size is None:
            least = "one sample needs" if sized.smallest == 1 else f"{sized.smallest} samples need"
            printed.append(
                f"{sized.name} on {device.name}: no batch fits; {least}"
                f" {need.ram_bytes:,} B of RAM ({how})"
            )
            continue
        above = found.above and found.above.ram_on(device)
        more = "" if above is None else f"; a sample more needs {above:,} B"
        printed.append(
            f"{sized.name} on {device.name}: the largest batch that fits is {found.size:,}, which"
            f" needs {need.ram_bytes:,} B of RAM ({how}{more})"
        )
        if asked.measure is not None:
            with SpinnerLine(f"measuring batch {found.size:,}"):
                step = sized.measured(found.size, found.step)
            if isinstance(step, str):
                printed.append(f"not measured: {step}")
                continue
            step = joined(step, found.step)
            measured = step.demand(device).ram(device.allocator)
            row["measured_ram_bytes"] = measured.ram_bytes
            row["status"] = str(worst(step.verdicts(device, asked.budgets)).status)
            refuted = refuted or not _fits(asked, device, step)
            says = f"measured: {step.ram_bytes:,} B of RAM {IN_WORDS[Allocator.TORCH]}"
            if measured.allocator is Allocator.ARENA:
                says += f", equal to the trace; so {measured.ram_bytes:,} B in the arena"
            printed.append(f"{says}: {row['status']}")
    out = output()
    out.fact(sized.kind, sized.name)
    out.table("devices", COLUMNS, rows, printed=())
    out.show(*printed)
    out.show("More samples are taken to need more; only the sizes on the way were traced.")
    asked.end(sure=any(row["largest_batch"] is not None for row in rows), refuted=refuted)


def _fits(asked: Asked, device: Device, step: OwnStep) -> bool:
    return worst(step.verdicts(device, asked.budgets)).status in FITTING


def _how(need: RamNeed) -> str:
    """How bytes are known, and whose they are."""
    why = f"; no arena: {need.no_arena}" if need.no_arena else ""
    return f"{need.evidence}, {IN_WORDS[need.allocator]}{why}"
