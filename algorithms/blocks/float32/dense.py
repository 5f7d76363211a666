"""Fully connected layer on all features of a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import Block, Chosen, Held, Pass, Tape
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
        self._trained: torch.Tensor | None = self.weight_OC
        self._trains_bias = layer.bias

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield Held(f"{self._name}.weight", self.weight_OC, Category.PARAMETERS)
        if self.bias_O is not None:
            yield Held(f"{self._name}.bias", self.bias_O, Category.PARAMETERS)

    @property
    def keeps_input(self) -> bool:
        """If it trains a weight that sees all of it."""
        return self._trained is not None and self._trained.shape[1] == self.weight_OC.shape[1]

    def train_only(self, chosen: Chosen, *, to_input: bool, kept: bool) -> None:
        """Of a frozen weight's input, only the shape is kept."""
        self._trained = chosen.get(f"{self._name}.weight")
        self._trains_bias = f"{self._name}.bias" in chosen

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) or (N, C) to (N, O); kept are the features that the trained weights see."""
        way.keep(x.shape)
        if self.keeps_input:
            way.keep(x)
        elif self._trained is not None and way.tape is not None:
            way.keep(x.flatten(1)[:, : self._trained.shape[1]].clone())
        return functional.linear(x.flatten(1), self.weight_OC, self.bias_O)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the weight ``dy^T x``, of the bias the sum over N, of the input ``dy W``."""
        dy, trained = tape.pop(), self._trained
        x = None if trained is None else tape.pop()
        shape: torch.Size = tape.pop()
        if self._trains_bias and self.bias_O is not None:
            with phase("gradient"):
                db_O = dy.sum(0)
            learner.take(f"{self._name}.bias", self.bias_O, db_O)
        if trained is None or x is None:
            with phase("gradient"):
                if to_input:
                    tape.append((dy @ self.weight_OC).view(shape))
        elif learner.by_rows:
            with phase("gradient"):
                if to_input:
                    tape.append((dy @ self.weight_OC).view(shape))
            rows_RN = dy[:, : len(trained)].T
            learner.take_product(f"{self._name}.weight", trained, rows_RN, x.flatten(1))
        else:
            with phase("gradient"):
                dw = dy[:, : len(trained)].T @ x.flatten(1)
                del x
                if to_input:
                    tape.append((dy @ self.weight_OC).view(shape))
                del dy
            learner.take(f"{self._name}.weight", trained, dw)
