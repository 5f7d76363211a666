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
from trainfit.algorithms.numerics.int8.forward import quantised_linear
from trainfit.algorithms.numerics.int8.products import int8_grad_input, int8_grad_weight
from trainfit.algorithms.numerics.int8.scaled import Quantised, rescale_
from trainfit.algorithms.phases import Category, phase, tag


class RoundedDense(Block):
    """``y = W x + b`` on x flattened, both in INT8; drawn as ``torch.nn.Linear`` does.

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
        h = Quantised(h.q.flatten(1), h.scale)
        return quantised_linear(h, self._weight.quantised, self._bias_O, self._arithmetic.kernel)


class Int8DenseBlock(RoundedDense):
    """With gradients in INT8."""

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
        super().__init__(layer, shape, name, generator, arithmetic, latent=latent)
        self._quantiser = arithmetic.quantiser(layer.outputs)

    def held(self) -> Iterator[Held]:
        """Weight and bias, and what the quantiser of gradients keeps."""
        yield from super().held()
        for label, buffer in self._quantiser.buffers():
            yield Held(f"{self._name}.{label}", buffer, Category.BUFFERS)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Of the bias and the input, then of the weight, which moves."""
        dy, scale, q = tape.pop(), tape.pop(), tape.pop()
        with phase("gradient"):
            db_O = None if self._bias_O is None else dy.sum(0)
            d = self._quantiser.quantise(dy, self._arithmetic.next_seed(), to_input=to_input)
            del dy
        rate, own = d.rate, d.for_weights
        if self._bias_O is not None and db_O is not None:
            with learner.slowed(rate):
                learner.take(f"{self._name}.bias", self._bias_O, db_O)
            del db_O
        if to_input:
            with phase("gradient"):
                tape.append(self._of_input(d.for_inputs, q.shape))
        del d  # of which only what is for the weights is needed
        h = Quantised(q.flatten(1), scale)
        with learner.slowed(rate):
            self._weight.learn(learner, lambda rows: self._of_rows(rows, own, h))

    def _of_input(self, d: Quantised, shape: torch.Size) -> torch.Tensor:
        sums_NC = int8_grad_input(d.q, self._weight.q, kernel=self._arithmetic.kernel)
        return rescale_(sums_NC, d.scale, self._weight.scale).view(shape)

    def _of_rows(self, rows: slice, d: Quantised, h: Quantised) -> torch.Tensor:
        """The gradient of some output features' weights."""
        d_NT = d.q[:, rows]
        if not d_NT.is_contiguous():
            d_NT = tag(d_NT.contiguous(), Category.WORKSPACE, "columns of the gradient")
        sums_TC = int8_grad_weight(d_NT, h.q, kernel=self._arithmetic.kernel)
        return rescale_(sums_TC, d.scale_of(rows), h.scale)
