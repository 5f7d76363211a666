"""Convolution with groups.

Both gradients are torch's ``convolution_backward``, each asked for on its own: first that of the
weight, which needs the input, then, when the input has been freed, that of the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Tape, placeholder
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Convolution
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import Category, phase

_FLAT = ([1, 1], False, [0, 0])
"""No dilation, not transposed, no padding of the output."""


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

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield Held(f"{self._name}.weight", self.weight, Category.PARAMETERS)
        if self.bias is not None:
            yield Held(f"{self._name}.bias", self.bias, Category.PARAMETERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) to (N, O, H', W')."""
        way.keep(x)
        stride, padding = self._windows
        dilation, transposed, more = _FLAT
        y: torch.Tensor = torch.ops.aten.convolution(
            x, self.weight, self.bias, stride, padding, dilation, transposed, more, self._groups
        )
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of bias and weight, then of the input."""
        dy, x, name = tape.pop(), tape.pop(), f"{self._name}.weight"
        if self.bias is not None:
            with phase("gradient"):
                db = dy.sum((0, 2, 3))
            learner.take(f"{self._name}.bias", self.bias, db)
        if learner.by_rows:
            with phase("gradient"):
                if to_input:
                    tape.append(self._of_input(dy, x.shape))
            learner.take_rows(name, self.weight, lambda rows: self._of_rows(rows, dy, x))
        else:
            with phase("gradient"):
                dw = self._of_weight(dy, x, self.weight, self._groups)
                shape = x.shape
                del x
                if to_input:
                    tape.append(self._of_input(dy, shape))
                del dy
            learner.take(name, self.weight, dw)

    def _of_rows(self, rows: slice, dy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The gradient of some output channels' weights; ``rows`` are whole groups, or in one."""
        per_group, inputs = len(self.weight) // self._groups, self.weight.shape[1]
        first, last = rows.start // per_group, (rows.stop - 1) // per_group
        seen = x[:, first * inputs : (last + 1) * inputs]
        return self._of_weight(dy[:, rows], seen, self.weight[rows], last - first + 1)

    def _of_weight(
        self, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, groups: int
    ) -> torch.Tensor:
        dw: torch.Tensor = self._gradients(dy, x, weight, groups, [False, True, False])[1]
        return dw

    def _of_input(self, dy: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        x, wanted = placeholder(shape, dy), [True, False, False]
        dx: torch.Tensor = self._gradients(dy, x, self.weight, self._groups, wanted)[0]
        return dx

    def _gradients(
        self,
        dy: torch.Tensor,
        x: torch.Tensor,
        weight: torch.Tensor,
        groups: int,
        wanted: list[bool],
    ) -> Any:
        """Of input, weight and bias, of which some are wanted."""
        stride, padding = self._windows
        dilation, transposed, more = _FLAT
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, dilation, transposed, more, groups, wanted
        )
