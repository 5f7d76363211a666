"""Tracing a step: of a rule at one of its stages, on a net of any size."""

from __future__ import annotations

from typing import Any

import torch

from trainfit.algorithms import Algorithm, Category
from trainfit.algorithms.memory.meta import WithoutValues
from trainfit.algorithms.phases import observing
from trainfit.bench.profiler.determinism import quiet_collector
from trainfit.bench.trace.recorder import Recorder
from trainfit.bench.trace.trace import Trace


def trace_stage(algorithm: Algorithm[Any], batch_size: int) -> Trace:
    """Run a step of an algorithm's current stage on tensors without data.

    Args:
        algorithm: Made by ``build_on_meta``, with the stage entered.
        batch_size: Rows of the batch.
    """
    with torch.device("meta"):
        x = torch.empty(batch_size, algorithm.model.inputs)
        y = torch.empty(batch_size, dtype=torch.int64)
        with WithoutValues(answers=True), observing(Recorder()):  # who is shown loops in part
            taken = algorithm.stage_data(x)
        recorder = Recorder()
        for held in algorithm.static_tensors():
            recorder.adopt(held.tensor, str(held.category), held.name)
        recorder.adopt(taken, str(Category.INPUTS), "x")
        recorder.adopt(y, str(Category.INPUTS), "y")
        with quiet_collector(0), observing(recorder), recorder:
            recorder.begin(closed=True)
            algorithm.step(taken, y)
            return recorder.finish()
