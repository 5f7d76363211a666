"""A step of one stage, measured and traced: what the promises about memory look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from trainfit.algorithms import Algorithm
from trainfit.bench.profiler import profile_step
from trainfit.bench.profiler.step import StepProfile
from trainfit.bench.run.memory import static_bytes
from trainfit.bench.trace.prediction import Prediction, predict


@dataclass(frozen=True)
class MeasuredStage:
    """A step of one stage.

    Attributes:
        stage: Name of the stage.
        algorithm: The rule, which has trained a little by now.
        rows: Samples in the batch.
        profile: What was measured.
        static: Bytes that the rule lists, in RAM by category, the batch included.
        storage: Bytes that it lists as being in storage.
    """

    stage: str
    algorithm: Algorithm[Any]
    rows: int
    profile: StepProfile
    static: dict[str, int]
    storage: int

    @cached_property
    def predicted(self) -> Prediction:
        """What its trace says.

        Raises:
            ConfigurationError: The step cannot be traced.
        """
        return predict(self.algorithm, self.rows)


def measure_stage(
    stage: str,
    algorithm: Algorithm[Any],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    warmup: int = 1,
    repeats: int = 3,
) -> MeasuredStage:
    """Measure a step of the stage that an algorithm has entered.

    Args:
        stage: Its name.
        algorithm: A fresh one.
        x: Inputs as the stage takes them.
        y: Labels.
        warmup: As for :func:`~trainfit.bench.profiler.step.profile_step`.
        repeats: Likewise.

    Raises:
        SessionError: The step cannot be measured.
        Exception: Whatever the step raises.
    """
    profile = profile_step(lambda: algorithm.step(x, y), warmup=warmup, repeats=repeats)
    static, storage = static_bytes(algorithm, x, y)
    return MeasuredStage(stage, algorithm, len(x), profile, static, storage)
