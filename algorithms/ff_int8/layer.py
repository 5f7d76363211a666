"""One layer of FF-INT8: output, update, and the tensors kept between steps.

Shape suffixes: R rows of both passes, I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.ff_int8.weights import Weights
from trainfit.algorithms.forward_forward.objective import Objective
from trainfit.algorithms.numerics.int8.layer import (
    QuantConfig,
    RowQuantized,
    forward,
    rescale,
)
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.algorithms.phases import Category, phase


class LayerOutput(NamedTuple):
    """A layer's output ``s q``, and the sum of q squared in each row, at least 1."""

    rows: RowQuantized
    squares_R: torch.Tensor

    def real_squares(self) -> torch.Tensor:
        """Sum of squares of the output itself, a new tensor."""
        s_R = self.rows.scale
        return (s_R * s_R).mul_(self.squares_R)


def unit_rows(q_RO: torch.Tensor, squares_R: torch.Tensor) -> RowQuantized:
    """The same integers with the scale that gives every row a mean square of 1."""
    return RowQuantized(q_RO, squares_R.reciprocal().mul_(q_RO.shape[1]).sqrt_())


class Int8Layer:
    """Weights, bias and their updates.

    The rate is divided by the number of inputs, which is the squared length of every input, so that
    one rate changes the outputs of wide and narrow layers equally.
    """

    def __init__(self, name: str, weights: Weights, lr: float, optimiser: Sgd) -> None:
        self.name = name
        self.weights = weights
        self._b_O = torch.zeros(self.width)
        self._optimiser = optimiser  # for the bias; the weights use its rate too
        self._optimiser.add(f"b{name}", self._b_O)
        self.set_rate(lr)

    def set_rate(self, lr: float) -> None:
        """Set the learning rate, before division by the number of inputs."""
        self._optimiser.lr = lr / self.weights.shape[1]

    @property
    def width(self) -> int:
        """Outputs."""
        return self.weights.shape[0]

    def output(self, h: RowQuantized, way: QuantConfig, seed: int) -> LayerOutput:
        """Rectified output for rows h."""
        rows, squares_R = forward(h, self.weights.integers(way), self._b_O, way, seed)
        return LayerOutput(rows, squares_R.clamp_(min=1.0))

    def update(
        self, g: RowQuantized, h: RowQuantized, way: QuantConfig, seeds: Iterator[int]
    ) -> None:
        """One descent step with the gradient g of the output, for input h.

        Rows of g and of h each have a scale; both are multiplied into g before it is rounded to a
        single scale.
        """
        with phase("gradient"):
            ratio_R = g.scale * h.scale
            scale = float(torch.linalg.vector_norm(ratio_R, ord=torch.inf))
            ratio_R.mul_(1.0 / scale if scale else 0.0)
            d_RO, db_O = rescale(g, ratio_R, way, next(seeds))
            del ratio_R
        with phase("update"):
            self._optimiser.apply(f"b{self.name}", self._b_O, db_O)
            self.weights.descend(d_RO, h.q, scale, self._optimiser.lr, way, next(seeds))

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Weights, bias and their momentum."""
        for suffix, tensor, category in self.weights.held():
            yield StaticTensor(f"w{self.name}{suffix}", tensor, category)
        yield StaticTensor(f"b{self.name}", self._b_O, Category.PARAMETERS)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)


class LocalRule(NamedTuple):
    """Settings that all layers share in one step.

    Attributes:
        layers: The hidden layers, in order.
        objective: The loss of each.
        way: How values are rounded to INT8.
        batch: Samples; there are twice as many rows, those with true labels first.
    """

    layers: list[Int8Layer]
    objective: Objective
    way: QuantConfig
    batch: int

    def factors(self, out: LayerOutput, width: int) -> torch.Tensor:
        """Factors that turn the integers of a layer's output into the gradient of its own loss."""
        squares_R = out.real_squares()
        return self.objective.factors_(squares_R, width, self.batch, None).mul_(out.rows.scale)


def local_step(
    rule: LocalRule, make_input: Callable[[], RowQuantized], seeds: Iterator[int]
) -> None:
    """Update every layer on the way forward, from its own loss alone."""
    h = make_input()
    for layer in rule.layers:
        with phase("forward"):
            out = layer.output(h, rule.way, next(seeds))
        with phase("gradient"):
            factors_R = rule.factors(out, layer.width)
        layer.update(RowQuantized(out.rows.q, factors_R), h, rule.way, seeds)
        with phase("forward"):
            h = unit_rows(out.rows.q, out.squares_R)
            del out, factors_R
