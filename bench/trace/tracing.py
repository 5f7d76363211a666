"""Tracing a step: of a rule at one of its stages, on a net of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category
from trainfit.algorithms.memory.meta import meta_tensors
from trainfit.algorithms.memory.stand_ins import value_of
from trainfit.algorithms.phases import observing
from trainfit.bench.profiler.determinism import quiet_collector
from trainfit.bench.trace.recorder import Recorder
from trainfit.bench.trace.trace import Trace


def trace_stage(
    algorithm: Algorithm[Any],
    batch_size: int,
    *,
    answer: Callable[[torch.Tensor], bool | int | float] = value_of,
) -> Trace:
    """Run a step of an algorithm's current stage on tensors without data.

    Args:
        algorithm: Made by ``build_on_meta``, with the stage entered.
        batch_size: Rows of the batch.
        answer: What the step is told that asks for the value of a tensor.
    """
    x, y = batch_on_meta(algorithm, batch_size)
    recorder = Recorder(answer, on_meta=True)
    for held in algorithm.static_tensors():
        recorder.adopt(held.tensor, str(held.category), held.name)
    recorder.adopt(x, str(Category.INPUTS), "x")
    recorder.adopt(y, str(Category.INPUTS), "y")
    with quiet_collector(0), observing(recorder), recorder:
        recorder.begin(closed=True)
        algorithm.step(x, y)
        return recorder.finish()


def batch_on_meta(algorithm: Algorithm[Any], batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What a step of the current stage is given: inputs as the stage takes them, and labels."""
    x = torch.empty(batch_size, algorithm.model.inputs, device="meta")
    y = torch.empty(batch_size, dtype=torch.int64, device="meta")
    with meta_tensors(), observing(Recorder()):  # who is shown loops in part
        return algorithm.stage_data(x), y
