"""Convolution with groups.

Both gradients are torch's ``convolution_backward``, each asked for on its own: first that of the
weight, which needs the input, then, when the input has been freed, that of the input. Of a weight
that is trained in part, the gradient of that part is a smaller convolution's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from trainfit.algorithms.blocks.block import Block, Chosen, Held, Pass, Tape, placeholder
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Convolution
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import Category, phase

_FLAT = ([1, 1], False, [0, 0])
"""No dilation, not transposed, no padding of the output."""

Windows = tuple[list[int], list[int], int]
"""Strides, paddings and groups."""


class ConvolutionBlock(Block):
    """``y = w * x + b``; w is drawn with a variance of 2 / fan-in (He et al. 2015).

    Args:
        layer: Its sizes.
        shape: Of its input.
        name: The start of the names of its tensors.
        generator: Draws the weight.
    """

    def __init__(
        self, layer: Convolution, shape: Shape, name: str, generator: torch.Generator
    ) -> None:
        self._name = name
        self._groups = layer.groups
        self._windows = list(layer.stride), list(layer.padding)
        inputs = shape[0] // layer.groups
        deviation = math.sqrt(2.0 / (inputs * math.prod(layer.kernel)))
        self.weight = torch.empty(layer.outputs, inputs, *layer.kernel)
        self.weight.normal_(0.0, deviation, generator=generator)
        self.bias = torch.zeros(layer.outputs) if layer.bias else None
        self._trained: torch.Tensor | None = self.weight
        self._trains_bias = layer.bias

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield Held(f"{self._name}.weight", self.weight, Category.PARAMETERS, groups=self._groups)
        if self.bias is not None:
            yield Held(f"{self._name}.bias", self.bias, Category.PARAMETERS)

    @property
    def keeps_input(self) -> bool:
        """If it trains a weight that sees all of it."""
        return self._seen == self.weight.shape[1] * self._groups

    @property
    def _seen(self) -> int:
        """Input channels that the trained part of the weight sees."""
        if self._trained is None:
            return 0
        outputs, inputs = self._trained.shape[:2]
        return -(-outputs * self._groups // len(self.weight)) * inputs

    def train_only(self, chosen: Chosen, *, to_input: bool, kept: bool) -> None:
        """Of a frozen weight's input, only the shape is kept."""
        self._trained = chosen.get(f"{self._name}.weight")
        self._trains_bias = f"{self._name}.bias" in chosen

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H', W'); kept are the channels that the trained weights see."""
        way.keep(x.shape)
        if self.keeps_input:
            way.keep(x)
        elif self._seen and way.tape is not None:
            way.keep(x[:, : self._seen].clone())  # so that the others can be freed
        stride, padding = self._windows
        dilation, transposed, more = _FLAT
        y: torch.Tensor = torch.ops.aten.convolution(
            x, self.weight, self.bias, stride, padding, dilation, transposed, more, self._groups
        )
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of bias and weight, then of the input."""
        dy, trained = tape.pop(), self._trained
        x = None if trained is None else tape.pop()
        shape: torch.Size = tape.pop()
        if self._trains_bias and self.bias is not None:
            with phase("gradient"):
                db = dy.sum((0, 2, 3))
            learner.take(f"{self._name}.bias", self.bias, db)
        if trained is None or x is None:
            with phase("gradient"):
                if to_input:
                    tape.append(self._of_input(dy, shape))
        elif learner.by_rows:
            with phase("gradient"):
                if to_input:
                    tape.append(self._of_input(dy, shape))
            name, group = f"{self._name}.weight", len(self.weight) // self._groups
            learner.take_rows(
                name, trained, lambda rows: self._of_rows(trained, rows, dy, x), group=group
            )
        else:
            with phase("gradient"):
                dw = self._of_rows(trained, slice(0, len(trained)), dy, x)
                del x
                if to_input:
                    tape.append(self._of_input(dy, shape))
                del dy
            learner.take(f"{self._name}.weight", trained, dw)

    def _of_rows(
        self, trained: torch.Tensor, rows: slice, dy: torch.Tensor, x: torch.Tensor
    ) -> torch.Tensor:
        """The gradient of some output channels' weights; ``rows`` are whole groups, or in one."""
        per_group, inputs = len(self.weight) // self._groups, trained.shape[1]
        first, last = rows.start // per_group, (rows.stop - 1) // per_group
        seen = x[:, first * inputs : (last + 1) * inputs]
        return self._of_weight(dy[:, rows], seen, trained[rows], last - first + 1)

    def _of_weight(
        self, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, groups: int
    ) -> torch.Tensor:
        windows, wanted = (*self._windows, groups), [False, True, False]
        dw: torch.Tensor = gradients_of(dy, x, weight, windows, wanted)[1]
        return dw

    def _of_input(self, dy: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        windows, wanted = (*self._windows, self._groups), [True, False, False]
        dx: torch.Tensor = gradients_of(dy, placeholder(shape, dy), self.weight, windows, wanted)[0]
        return dx


def gradients_of(
    dy: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    windows: Windows,
    wanted: list[bool],
) -> Any:
    """Of input, weight and bias, of which some are wanted; of what is not read, a placeholder."""
    stride, padding, groups = windows
    dilation, transposed, more = _FLAT
    return torch.ops.aten.convolution_backward(
        dy, x, weight, None, stride, padding, dilation, transposed, more, groups, wanted
    )
