"""Promises about the bytes of a step: measured, traced, and planned into one arena."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainfit.algorithms import Algorithm
from trainfit.bench.profiler.fold import Fold
from trainfit.bench.promises.finding import BrokenPromiseError
from trainfit.bench.promises.measured import MeasuredStage
from trainfit.bench.run.memory import residual
from trainfit.bench.trace.arena import ArenaError
from trainfit.bench.trace.prediction import Prediction
from trainfit.bench.trace.scratch import is_known_by_name

MOST_NAMED = 3
"""Tensors and operators that a message names."""


def same_every_time(found: MeasuredStage) -> None:
    """All repeats of a step allocate the same, and it is known what for.

    Raises:
        BrokenPromiseError: They do not.
    """
    profile = found.profile
    if not profile.deterministic:
        every = f" it repeats itself every {profile.period} steps" if profile.period > 1 else ""
        raise BrokenPromiseError(
            f"{profile.repeats} repeats of the same step allocated different bytes;{every}"
            " what a step allocates may depend on the sizes of its tensors only",
            type(found.algorithm).step,
        )
    if profile.attribution:
        raise BrokenPromiseError(
            f"what its tensors are for cannot be told: {profile.attribution}",
            type(found.algorithm).step,
        )


def leaves_nothing(found: MeasuredStage) -> None:
    """A step leaves no byte behind, and frees none that it did not make.

    Raises:
        BrokenPromiseError: It does; the message names the largest tensors.
    """
    left = found.profile.left_after_step_bytes
    if left < 0:
        raise BrokenPromiseError(
            f"a step frees {-left:,} B that were there before it", type(found.algorithm).step
        )
    if left:
        blocks = sorted(found.profile.left_blocks, key=lambda block: -block.size)[:MOST_NAMED]
        named = ", ".join(f"{block.label or 'an allocation'}" for block in blocks)
        raise BrokenPromiseError(
            f"every step leaves {left:,} B behind ({named}), so that memory fills up; drop them,"
            " or keep them in the same tensor",
            next((block.line for block in blocks if block.line), type(found.algorithm).step),
        )


def is_as_traced(found: MeasuredStage) -> None:
    """The trace is what is measured, to the byte, in every phase and category.

    Raises:
        BrokenPromiseError: It is not.
        ConfigurationError: The step cannot be traced.
    """
    measured, traced = found.profile, found.predicted
    first = traced.trace.torch_view.left_after_step_bytes
    if first and not measured.left_after_step_bytes:
        raise BrokenPromiseError(
            f"its first step makes {first:,} B that later ones find; make them in __init__",
            type(found.algorithm).step,
        )
    if _figures(measured) != _figures(traced.trace.torch_view):
        raise BrokenPromiseError(f"{_difference(found)}{_unknown(found)}", _line_of(found))
    for name, phase in measured.phases.items():
        if sum(phase.categories.values()) != phase.peak_bytes:
            raise BrokenPromiseError(f"the categories of phase {name} do not add up to its peak")


def static_is_as_predicted(
    algorithm: Algorithm[Any], static: Mapping[str, int], storage: int, predicted: Prediction
) -> None:
    """What stays, in RAM and in storage, has the bytes that the twin without values says.

    Args:
        algorithm: What lists it.
        static: Bytes in RAM by category, the batch included.
        storage: Bytes in storage.
        predicted: Of the twin.

    Raises:
        BrokenPromiseError: It has others.
    """
    for what, own, twins in (
        ("in RAM", static, predicted.static_categories),
        ("in storage", storage, predicted.storage_bytes),
    ):
        if own != twins:
            raise BrokenPromiseError(
                f"what static_tensors lists {what} has {own} B, of the same rule built without"
                f" values {twins} B",
                type(algorithm).static_tensors,
            )


def fits_an_arena(found: MeasuredStage) -> None:
    """All blocks of the device view have places in one arena, which needs no more than torch does.

    Raises:
        BrokenPromiseError: Blocks overlap, or the view needs more.
        ConfigurationError: The step cannot be traced.
    """
    traced = found.predicted
    try:
        arena = traced.arena  # checked for overlaps when it is planned
    except ArenaError as error:
        raise BrokenPromiseError(str(error)) from error
    if arena.size_bytes < traced.device_bytes:
        raise BrokenPromiseError(
            f"an arena of {arena.size_bytes:,} B for {traced.device_bytes:,} B alive at once"
        )
    device_view_is_no_larger(found)


def device_view_is_no_larger(found: MeasuredStage) -> None:
    """C needs no more than torch does for the same schedule.

    Raises:
        BrokenPromiseError: It needs more.
        ConfigurationError: The step cannot be traced.
    """
    device, torch_bytes = found.predicted.device_bytes, found.predicted.peak_bytes
    if device > torch_bytes:
        raise BrokenPromiseError(
            f"the device view needs {device:,} B, torch {torch_bytes:,} B for the same step"
        )


def _figures(view: Fold) -> dict[str, Any]:
    """All of a step that has to be the same."""
    return {
        "peak": view.peak_dynamic_bytes,
        "left": view.left_after_step_bytes,
        "phases": {
            name: (phase.peak_bytes, phase.entry_bytes, phase.categories)
            for name, phase in view.phases.items()
        },
    }


def _difference(found: MeasuredStage) -> str:
    """The first thing that measurement and trace do not agree on, and the tensors behind it."""
    measured, traced = found.profile.phases, found.predicted.phases
    if set(measured) != set(traced):
        only = ", ".join(sorted(set(measured) ^ set(traced)))
        return f"phase {only} is in the measurement or in the trace only"
    items = residual(found.profile, found.predicted).items[:MOST_NAMED]
    behind = "".join(f"; {item.name}, {abs(item.bytes):,} B" for item in items)
    for name, phase in measured.items():
        for what, one, other in (
            ("peak", phase.peak_bytes, traced[name].peak_bytes),
            ("bytes at its start", phase.entry_bytes, traced[name].entry_bytes),
        ):
            if one != other:
                return f"phase {name}: {what} {one:,} B measured, {other:,} B traced{behind}"
        if phase.categories != traced[name].categories:
            return (
                f"phase {name}: {phase.categories} B measured, {traced[name].categories} B traced"
            )
    return (
        f"{found.profile.peak_dynamic_bytes:,} B measured, {found.predicted.peak_bytes:,} B"
        f" traced{behind}"
    )


def _unknown(found: MeasuredStage) -> str:
    """The operators that may be behind it: of them no table says what they make inside."""
    names = dict.fromkeys(each.name for each in found.predicted.trace.operators)
    unknown = [name for name in names if not is_known_by_name(name)][:MOST_NAMED]
    if not unknown:
        return ""
    return (
        f"; what {', '.join(unknown)} allocates inside itself is not known: let its caller make"
        " that, or add a row to bench/trace/scratch.py"
    )


def _line_of(found: MeasuredStage) -> object:
    """The line of the largest tensor at the measured peak that the trace has not got."""
    traced = [block.size for block in found.predicted.live_at_peak]
    for block in found.profile.live_at_peak:
        if block.size in traced:
            traced.remove(block.size)
        elif block.line:
            return block.line
    return type(found.algorithm).step
