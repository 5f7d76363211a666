"""Batch normalisation, whose running statistics are held between steps."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Statistics, Tape
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import BatchNorm
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import Category, phase


class BatchNormBlock(Block):
    """``y = gain (x - mean) / sqrt(variance + epsilon) + shift`` per channel.

    Args:
        layer: Its constants.
        shape: Of its input.
        name: The start of the names of its tensors.
    """

    def __init__(self, layer: BatchNorm, shape: Shape, name: str) -> None:
        self._name, self._layer = name, layer
        self.gain_C, self.shift_C = torch.ones(shape[0]), torch.zeros(shape[0])
        self.mean_C, self.variance_C = torch.zeros(shape[0]), torch.ones(shape[0])

    def held(self) -> Iterator[Held]:
        """Gain and shift, and the running statistics."""
        yield Held(f"{self._name}.gain", self.gain_C, Category.PARAMETERS)
        yield Held(f"{self._name}.shift", self.shift_C, Category.PARAMETERS)
        yield Held(f"{self._name}.mean", self.mean_C, Category.BUFFERS)
        yield Held(f"{self._name}.variance", self.variance_C, Category.BUFFERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape."""
        of_batch = way.statistics is not Statistics.RUNNING
        moves = way.statistics is not Statistics.BATCH_AGAIN
        running = (self.mean_C, self.variance_C) if moves else (None, None)
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = torch.ops.aten.native_batch_norm(
            x,
            self.gain_C,
            self.shift_C,
            *running,
            of_batch,
            self._layer.momentum,
            self._layer.epsilon,
        )
        y, mean_C, scale_C = found
        way.keep(x, mean_C, scale_C)
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of gain and shift, and of the input through the batch's statistics."""
        with phase("gradient"):
            dy, scale_C, mean_C, x = (tape.pop() for _ in range(4))
            dx, dgain_C, dshift_C = torch.ops.aten.native_batch_norm_backward(
                dy,
                x,
                self.gain_C,
                None,
                None,
                mean_C,
                scale_C,
                True,
                self._layer.epsilon,
                [to_input, True, True],
            )
            del dy, x, mean_C, scale_C
            if to_input:
                tape.append(dx)
            del dx
        learner.take(f"{self._name}.gain", self.gain_C, dgain_C)
        learner.take(f"{self._name}.shift", self.shift_C, dshift_C)
