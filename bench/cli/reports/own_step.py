"""A training step of one's own: peaks by phase, the largest tensors, and what a step leaves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainfit._text import counted
from trainfit.bench.cli.output import Column, unseen
from trainfit.bench.records.schema import Evidence
from trainfit.bench.sizing.own_step import OwnStep, Tensor
from trainfit.hardware_profiles import format_bytes

OUTSIDE = "outside"
"""The phase of what is in none, as the profiler calls it."""

MOST_TENSORS = 8
"""Tensors that are named; the rest is summed."""

BUDGET_COLUMNS = unseen("device budget status low high limit margin unit evidence judged_by reason")
DEVICE_COLUMNS = unseen(
    "device status judged_by ram_bytes torch_ram_bytes arena_ram_bytes arena_gap_bytes no_arena"
)
PHASE_COLUMNS = (
    Column("phase", "phase"),
    Column("peak_bytes", "peak dynamic", format_bytes, right=True),
    Column("highest", "highest", lambda found: "here" if found else ""),
)
TENSOR_COLUMNS = unseen("bytes phase category label module line")


def fact(step: OwnStep) -> dict[str, Any]:
    """The figures for machines."""
    names = "static_bytes peak_dynamic_bytes ram_bytes peak_phase left_after_step_bytes steps"
    names += " deterministic repeats attribution notes advice arena_bytes no_arena"
    return {name: getattr(step, name) for name in names.split()}


def phase_rows(step: OwnStep) -> list[dict[str, Any]]:
    """One row per phase."""
    return [
        {"phase": name, "peak_bytes": peak, "highest": name == step.peak_phase}
        for name, peak in step.phases.items()
    ]


def tensor_rows(tensors: Iterable[Tensor]) -> list[dict[str, Any]]:
    """One row per tensor."""
    return [vars(tensor) for tensor in tensors]


def lines(step: OwnStep) -> list[str]:
    """What there is to say about the step itself, in sentences."""
    of = "" if step.steps == 1 else f", over {step.steps} steps as one"
    said, how = "measured", _repeats(step)
    if step.evidence == Evidence.TRACED:
        said, how = "predicted", "from its code, nothing was run"
    found = [
        f"{said}: {step.ram_bytes:,} B of RAM: {step.static_bytes:,} B that stay and"
        f" {step.peak_dynamic_bytes:,} B that come and go at the peak, in {step.peak_phase}"
        f" ({how}{of})"
    ]
    if step.advice:
        found.append(step.advice)
    if step.left_after_step_bytes > 0:
        found.append(
            f"LEAK: every step leaves {step.left_after_step_bytes:,} B behind, so that memory fills"
            " up, however much there is"
        )
        found += [f"  left: {_tensor(tensor)}" for tensor in step.left[:MOST_TENSORS]]
    found.append("alive at the peak:")
    found += [f"  {_tensor(tensor)}" for tensor in step.tensors[:MOST_TENSORS]]
    rest = step.peak_dynamic_bytes - sum(each.bytes for each in step.tensors[:MOST_TENSORS])
    if rest > 0:
        found.append(f"  {format_bytes(rest)} in all others")
    if OUTSIDE in step.phases:
        found.append(
            f"{OUTSIDE} = in no phase; with trainfit.phase('forward'): around its parts, a step has"
            " a peak for each"
        )
    found += step.notes
    if step.attribution:
        found.append(f"what tensors are for is not known: {step.attribution}")
    return found


def _repeats(step: OwnStep) -> str:
    same = "the same" if step.deterministic else "NOT THE SAME"
    return f"{same} in {counted(step.repeats, 'repeat')}"


def _tensor(tensor: Tensor) -> str:
    phase = "" if tensor.phase in ("", OUTSIDE) else f"made in {tensor.phase}"
    where = [tensor.module, tensor.line, phase]
    places = ", ".join(filter(None, where))
    says = f"{format_bytes(tensor.bytes):>10}  {tensor.category}  {tensor.label or 'an allocation'}"
    return f"{says} ({places})" if places else says
