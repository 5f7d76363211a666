"""A planned arena for a measured step of one's own: that of its trace, if both are one step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trainfit.bench.sizing.own_step import OwnStep, OwnStepError, predict_own_step


def with_arena(measured: OwnStep, folder: Path, *, batch_size: int | None = None) -> OwnStep:
    """The step with the arena that its trace allows, or with the reason why there is none.

    Args:
        measured: The step.
        folder: As :func:`~trainfit.bench.sizing.own_step.measure_own_step` took it.
        batch_size: Likewise.
    """
    target = measured.target
    try:
        traced = predict_own_step(target, folder, batch_size=batch_size, plan=True)
    except OwnStepError as error:
        return replace(measured, no_arena=str(error).removeprefix(f"--step {target}: "))
    return joined(measured, traced)


def joined(measured: OwnStep, traced: OwnStep) -> OwnStep:
    """What was measured, with the arena of a trace where both are the same step."""
    if not measured.deterministic:
        return replace(measured, no_arena="repeats of the step differ")
    if measured.static_bytes != traced.static_bytes:
        return replace(measured, no_arena="static bytes are not those of the trace")
    beside = measured.peak_dynamic_bytes - traced.peak_dynamic_bytes
    if beside:
        return replace(measured, no_arena=f"measured {beside:+,} B beside the trace")
    return replace(measured, arena_bytes=traced.arena_bytes, no_arena=traced.no_arena)
