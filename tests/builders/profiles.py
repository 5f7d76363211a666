"""Profiles of steps that nobody ran, for the tests of what is done with them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from trainfit.bench.profiler import StepProfile
from trainfit.bench.profiler.fold import Block, PhasePeak

ACTIVATION = Block(600, "forward", "activations", "relu float32 10x15")
GRADIENT = Block(400, "gradient", "gradients", "mm float32 10x10")


def step_profile(*extra: Block, **changes: Any) -> StepProfile:
    """A step with 1,000 B at its peak in the gradient, 3,000 B static.

    Blocks in ``extra`` are alive at that peak, too.
    """
    live = sorted([ACTIVATION, GRADIENT, *extra], key=lambda block: -block.size)
    peak = sum(block.size for block in live)
    values: dict[str, Any] = {
        "peak_dynamic_bytes": peak,
        "peak_phase": "gradient",
        "phases": {
            "forward": PhasePeak(600, 0, 600, [ACTIVATION]),
            "gradient": PhasePeak(peak, 600, 0, live),
        },
        "live_at_peak": tuple(live),
        "static_bytes": 3_000,
        "static_categories": {"parameters": 2_000, "inputs": 1_000},
        "entry_bytes": 0,
        "left_after_step_bytes": 0,
        "deterministic": True,
        "repeats": 3,
        "attribution": "",
    }
    unused = {field.name: None for field in fields(StepProfile)}  # the events themselves
    return StepProfile(**unused | values | changes)
