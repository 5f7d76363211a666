"""Batch normalisation, whose running statistics are held between steps.

One whose gain is frozen is folded, as into the convolution before it in inference: it normalises by
its running statistics, which stay, and is a factor and a term per channel on both ways.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Chosen, Held, Pass, Statistics, Tape
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
        self._trains_gain = self._trains_shift = True

    def held(self) -> Iterator[Held]:
        """Gain and shift, and the running statistics."""
        yield Held(f"{self._name}.gain", self.gain_C, Category.PARAMETERS)
        yield Held(f"{self._name}.shift", self.shift_C, Category.PARAMETERS)
        yield Held(f"{self._name}.mean", self.mean_C, Category.BUFFERS)
        yield Held(f"{self._name}.variance", self.variance_C, Category.BUFFERS)

    @property
    def keeps_input(self) -> bool:
        """If it trains its gain, and so takes the batch's statistics."""
        return self._trains_gain

    def train_only(self, chosen: Chosen, *, to_input: bool, kept: bool) -> None:
        """With a frozen gain, nothing is kept."""
        self._trains_gain = f"{self._name}.gain" in chosen
        self._trains_shift = f"{self._name}.shift" in chosen

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape."""
        of_batch = self._trains_gain and way.statistics is not Statistics.RUNNING
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
        if self._trains_gain:
            way.keep(x, mean_C, scale_C)
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of gain and shift, and of the input through the batch's statistics."""
        if not self._trains_gain:
            self._folded_backward(tape, learner, to_input=to_input)
            return
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
        if self._trains_shift:
            learner.take(f"{self._name}.shift", self.shift_C, dshift_C)

    def _folded_backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the shift, and of the input by the running statistics."""
        dy = tape.pop()
        if self._trains_shift:
            with phase("gradient"):
                dshift_C = dy.sum([0, *range(2, dy.dim())])
            learner.take(f"{self._name}.shift", self.shift_C, dshift_C)
        if to_input:
            with phase("gradient"):
                scale_C = (self.variance_C + self._layer.epsilon).rsqrt_().mul_(self.gain_C)
                tape.append(dy * scale_C.view(-1, *(1 for _ in dy.shape[2:])))
