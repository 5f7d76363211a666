"""Functions of one element: in place going forward where nobody else reads the input."""

from __future__ import annotations

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import Block, Pass, Tape
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Activation, Nonlinearity
from trainfit.algorithms.phases import phase

aten = torch.ops.aten


class ActivationBlock(Block):
    """A rectifier, one that stops at 6, or ``x sigmoid(x)``.

    Args:
        layer: Which one.
        fresh: Whether its input is a tensor that nobody else reads.
    """

    def __init__(self, layer: Activation, *, fresh: bool) -> None:
        self._function, self._fresh = layer.function, fresh

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Of the same shape. The way back of a rectifier needs the output, of SiLU the input."""
        if self._function is Nonlinearity.SILU:
            way.keep(x)
            in_place = self._fresh and way.tape is None
            return functional.silu(x, inplace=in_place)
        y = apply(self._function, x, in_place=self._fresh)
        way.keep(y)
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """In place of the output's."""
        with phase("gradient"):
            dy = tape.pop()
            tape.append(through_(self._function, dy, tape.pop()))


def apply(function: Nonlinearity, x: torch.Tensor, *, in_place: bool) -> torch.Tensor:
    """The function of every element."""
    match function:
        case Nonlinearity.RELU:
            return torch.relu_(x) if in_place else torch.relu(x)
        case Nonlinearity.RELU6:
            return functional.hardtanh(x, 0.0, 6.0, inplace=in_place)
        case Nonlinearity.SILU:
            return functional.silu(x, inplace=in_place)


def through_(function: Nonlinearity, dy: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """``dy`` times the derivative, in its place.

    Args:
        function: Which one.
        dy: Gradient of the output.
        kept: Output of a rectifier; input of SiLU.
    """
    match function:
        case Nonlinearity.RELU:
            aten.threshold_backward.grad_input(dy, kept, 0, grad_input=dy)
        case Nonlinearity.RELU6:
            aten.hardtanh_backward.grad_input(dy, kept, 0.0, 6.0, grad_input=dy)
        case Nonlinearity.SILU:
            aten.silu_backward.grad_input(dy, kept, grad_input=dy)
    return dy
