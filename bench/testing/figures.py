"""A step's profile as plain values: what is reported, kept in files and compared.

Everything is an ``int``, a ``str`` or a container of these, so that it survives JSON and the way
from a worker process to the one that reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile
    from trainfit.bench.profiler.fold import Block

MOST_TENSORS = 40
"""Kinds of tensors that are listed; the rest of a peak is small change."""

Figures = dict[str, Any]
"""What ``figures_of`` gives."""


def figures_of(profile: StepProfile) -> Figures:
    """The figures of a step; all are bytes but ``peak_phase``, ``deterministic`` and ``repeats``.

    ``ram_bytes`` is static plus peak dynamic bytes, which is what a device must hold. ``tensors``
    lists what is alive at a peak, of the step and of each phase, largest first; equal ones are one
    row with a ``count``, and ``bytes`` is that of one of them.
    """
    return {
        "peak_dynamic_bytes": profile.peak_dynamic_bytes,
        "peak_phase": profile.peak_phase,
        "static_bytes": profile.static_bytes,
        "ram_bytes": profile.static_bytes + profile.peak_dynamic_bytes,
        "entry_bytes": profile.entry_bytes,
        "left_after_step_bytes": profile.left_after_step_bytes,
        "static_categories": dict(sorted(profile.static_categories.items())),
        "categories": dict(sorted(profile.categories.items())),
        "phases": {
            name: {
                "peak_bytes": phase.peak_bytes,
                "entry_bytes": phase.entry_bytes,
                "exit_bytes": phase.exit_bytes,
                "categories": dict(sorted(phase.categories.items())),
                "tensors": _tensors(phase.live_at_peak),
            }
            for name, phase in profile.phases.items()
        },
        "tensors": _tensors(profile.live_at_peak),
        "deterministic": profile.deterministic,
        "repeats": profile.repeats,
    }


def _tensors(alive: Sequence[Block]) -> list[dict[str, Any]]:
    kinds = Counter((block.size, block.category, block.phase, block.label) for block in alive)
    largest = sorted(kinds.items(), key=lambda kind: (-kind[0][0] * kind[1], kind[0]))
    return [
        {"name": label, "bytes": size, "category": category, "phase": phase, "count": count}
        for (size, category, phase, label), count in largest[:MOST_TENSORS]
    ]
