"""Fully connected layer on all features of a sample, whose products are those of integers.

The equations are those of :mod:`trainfit.algorithms.int8.chain`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import Block, Held, Pass, Tape
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.weight import Weight
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Dense
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.numerics.int8.products import (
    int8_grad_input,
    int8_grad_weight,
    int8_linear,
)
from trainfit.algorithms.numerics.int8.scaled import Quantised, rescale_
from trainfit.algorithms.phases import Category, phase, tag


class Int8DenseBlock(Block):
    """``y = W x + b`` on x flattened, drawn as ``torch.nn.Linear`` does.

    Args:
        layer: Its sizes.
        shape: Of its input.
        name: The start of the names of its tensors.
        generator: Draws the weight.
        arithmetic: How numbers are rounded.
        latent: Whether float32 weights are kept.
    """

    def __init__(
        self,
        layer: Dense,
        shape: Shape,
        name: str,
        generator: torch.Generator,
        arithmetic: Arithmetic,
        *,
        latent: bool,
    ) -> None:
        self._name, self._arithmetic = name, arithmetic
        w_OC, b_O = linear_init(math.prod(shape), layer.outputs, generator)
        self._weight = Weight(f"{name}.weight", w_OC, arithmetic, latent=latent)
        self._bias_O = b_O if layer.bias else None

    def held(self) -> Iterator[Held]:
        """Weight and bias."""
        yield from self._weight.held()
        if self._bias_O is not None:
            yield Held(f"{self._name}.bias", self._bias_O, Category.PARAMETERS)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) or (N, C) to (N, O)."""
        h = self._arithmetic.activations(x, way)
        del x
        way.keep(h.q, h.scale)
        w, kernel = self._weight, self._arithmetic.kernel
        sums_NO = int8_linear(h.q.flatten(1), w.q, kernel=kernel)
        y_NO = rescale_(sums_NO, h.scale, w.scale)
        return y_NO if self._bias_O is None else y_NO.add_(self._bias_O)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the bias and the input, then of the weight, which moves."""
        dy, scale, q = tape.pop(), tape.pop(), tape.pop()
        if self._bias_O is not None:
            with phase("gradient"):
                db_O = dy.sum(0)
            learner.take(f"{self._name}.bias", self._bias_O, db_O)
            del db_O
        with phase("gradient"):
            d = self._arithmetic.gradients(dy)
            del dy
            if to_input:
                sums_NC = int8_grad_input(d.q, self._weight.q, kernel=self._arithmetic.kernel)
                tape.append(rescale_(sums_NC, d.scale, self._weight.scale).view(q.shape))
                del sums_NC
        h = Quantised(q.flatten(1), scale)
        self._weight.learn(learner, lambda rows: self._of_rows(rows, d, h))

    def _of_rows(self, rows: slice, d: Quantised, h: Quantised) -> torch.Tensor:
        """The gradient of some output features' weights."""
        d_NT = d.q[:, rows]
        if not d_NT.is_contiguous():
            d_NT = tag(d_NT.contiguous(), Category.WORKSPACE, "columns of the gradient")
        sums_TC = int8_grad_weight(d_NT, h.q, kernel=self._arithmetic.kernel)
        return rescale_(sums_TC, d.scale, h.scale)
