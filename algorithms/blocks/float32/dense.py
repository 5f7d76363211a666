"""Fully connected layer on all features of a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import Block, Held, Pass, Tape
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Dense
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import Category, phase


class DenseBlock(Block):
    """``y = W x + b`` on x flattened, drawn as ``torch.nn.Linear`` does.

    Args:
        layer: Its sizes.
        shape: Of its input.
        name: The start of the names of its tensors.
        generator: Draws the weight.
    """

    def __init__(self, layer: Dense, shape: Shape, name: str, generator: torch.Generator) -> None:
        self._name = name
        self.weight_OC, bias_O = linear_init(math.prod(shape), layer.outputs, generator)
        self.bias_O = bias_O if layer.bias else None

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield Held(f"{self._name}.weight", self.weight_OC, Category.PARAMETERS)
        if self.bias_O is not None:
            yield Held(f"{self._name}.bias", self.bias_O, Category.PARAMETERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) or (N, C) to (N, O)."""
        way.keep(x)
        return functional.linear(x.flatten(1), self.weight_OC, self.bias_O)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the weight ``dy^T x``, of the bias the sum over N, of the input ``dy W``."""
        dy, x, name = tape.pop(), tape.pop(), f"{self._name}.weight"
        if self.bias_O is not None:
            with phase("gradient"):
                db_O = dy.sum(0)
            learner.take(f"{self._name}.bias", self.bias_O, db_O)
        if learner.by_rows:
            with phase("gradient"):
                if to_input:
                    tape.append((dy @ self.weight_OC).view(x.shape))
            learner.take_product(name, self.weight_OC, dy.T, x.flatten(1))
        else:
            with phase("gradient"):
                dw_OC, shape = dy.T @ x.flatten(1), x.shape
                del x
                if to_input:
                    tape.append((dy @ self.weight_OC).view(shape))
                del dy
            learner.take(name, self.weight_OC, dw_OC)
