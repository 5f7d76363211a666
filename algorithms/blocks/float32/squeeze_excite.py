"""Squeeze-and-excitation (Hu, Shen & Sun, CVPR 2018).

Shape suffix: S squeezed features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import Block, Held, Pass, Tape
from trainfit.algorithms.blocks.float32.activation import apply, through_
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Nonlinearity, SqueezeExcite
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import Category, phase


class SqueezeExciteBlock(Block):
    """``y = x . sigmoid(W2 f(W1 mean(x) + b1) + b2)``, a gate per sample and channel.

    Args:
        layer: Its sizes.
        shape: Of its input.
        name: The start of the names of its tensors.
        generator: Draws the weights.
    """

    def __init__(
        self, layer: SqueezeExcite, shape: Shape, name: str, generator: torch.Generator
    ) -> None:
        self._name, self._function = name, layer.function
        self._keeps_input = layer.function is Nonlinearity.SILU
        self.squeeze_SC, self.bias_S = linear_init(shape[0], layer.squeezed, generator)
        self.excite_CS, self.bias_C = linear_init(layer.squeezed, shape[0], generator)

    def held(self) -> Iterator[Held]:
        """Weights and biases of both layers."""
        for label, tensor in (
            ("squeeze.weight", self.squeeze_SC),
            ("squeeze.bias", self.bias_S),
            ("excite.weight", self.excite_CS),
            ("excite.bias", self.bias_C),
        ):
            yield Held(f"{self._name}.{label}", tensor, Category.PARAMETERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        mean_NC = x.mean((2, 3))
        inner_NS = functional.linear(mean_NC, self.squeeze_SC, self.bias_S)
        in_place = way.tape is None or not self._keeps_input
        outer_NS = apply(self._function, inner_NS, in_place=in_place)
        gate_NC = functional.linear(outer_NS, self.excite_CS, self.bias_C).sigmoid_()
        way.keep(x, mean_NC, inner_NS, outer_NS, gate_NC)
        return x * gate_NC[:, :, None, None]

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Through the gate and past it; that of the gate is a product of two rows per channel."""
        with phase("gradient"):
            dy, gate_NC, outer_NS, inner_NS, mean_NC, x = (tape.pop() for _ in range(6))
            rows, channels, *extents = x.shape
            across = dy.reshape(rows * channels, 1, -1)
            dgate_NC = torch.bmm(across, x.view(rows * channels, -1, 1)).view(rows, channels)
            del x, across
            torch.ops.aten.sigmoid_backward.grad_input(dgate_NC, gate_NC, grad_input=dgate_NC)
            douter_NS = dgate_NC @ self.excite_CS
        self._take("excite", self.excite_CS, self.bias_C, dgate_NC, outer_NS, learner)
        del dgate_NC
        with phase("gradient"):
            kept_NS = inner_NS if self._keeps_input else outer_NS
            dinner_NS = through_(self._function, douter_NS, kept_NS)
            del douter_NS, kept_NS, inner_NS, outer_NS
            dmean_NC = dinner_NS @ self.squeeze_SC if to_input else None
        self._take("squeeze", self.squeeze_SC, self.bias_S, dinner_NS, mean_NC, learner)
        if dmean_NC is None:
            return
        with phase("gradient"):
            dx = dy.mul_(gate_NC[:, :, None, None])
            dmean_NC.mul_(1.0 / (extents[0] * extents[1]))
            tape.append(dx.add_(dmean_NC[:, :, None, None]))

    def _take(  # noqa: PLR0917
        self,
        label: str,
        weight: torch.Tensor,
        bias: torch.Tensor,
        dy: torch.Tensor,
        x: torch.Tensor,
        learner: Learner,
    ) -> None:
        name = f"{self._name}.{label}"
        if learner.by_rows:
            learner.take_product(f"{name}.weight", weight, dy.T, x)
        else:
            with phase("gradient"):
                dw = dy.T @ x
            learner.take(f"{name}.weight", weight, dw)
            del dw
        with phase("gradient"):
            db = dy.sum(0)
        learner.take(f"{name}.bias", bias, db)
