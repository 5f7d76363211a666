"""Nets of which only the way forward is needed.

Shape suffixes: B batch, I inputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Protocol

import torch
from torch.nn import functional

from trainfit.algorithms.blocks.block import Pass, Statistics
from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.models import Mlp, UnitNet
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.nets.units import Units, check_rows
from trainfit.algorithms.phases import Category


class ForwardNet(Protocol):
    """A net that is walked through forward.

    Attributes:
        parameters: What is trained, by name.
    """

    parameters: dict[str, torch.Tensor]

    def logits(self, x: torch.Tensor, *, again: bool) -> torch.Tensor:
        """Scores (B, C) of a batch of samples as in training.

        Args:
            x: (B, features).
            again: Whether the batch went through it before: what is held of batches stays.
        """

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, C)."""

    def alive(self, batch: int) -> int:
        """Elements of two neighbouring activations, of those that are largest together."""

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch that cannot be normalised.

        Raises:
            ConfigurationError: With a size that works.
        """

    def static_tensors(self) -> Iterator[StaticTensor]:
        """What is held between steps."""


def forward_net(model: Mlp | UnitNet, generator: torch.Generator) -> ForwardNet:
    """The net of a model, newly drawn."""
    if isinstance(model, Mlp):
        return _Layers(model, generator)
    return _Blocks(model, generator)


class _Layers:
    """Fully connected layers with rectifiers in between."""

    def __init__(self, model: Mlp, generator: torch.Generator) -> None:
        self._model = model
        self.parameters: dict[str, torch.Tensor] = {}
        for number, (inputs, outputs) in enumerate(model.layers, start=1):
            w_OI, b_O = linear_init(inputs, outputs, generator)
            self.parameters |= {f"w{number}": w_OI, f"b{number}": b_O}

    def logits(self, x: torch.Tensor, *, again: bool) -> torch.Tensor:
        return self.predict(x)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            h_BI = x
            for number in range(1, len(self._model.layers)):
                h_BI = self._linear(h_BI, number).relu_()
            return self._linear(h_BI, len(self._model.layers))

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        w_OI, b_O = self.parameters[f"w{number}"], self.parameters[f"b{number}"]
        return functional.linear(h_BI, w_OI, b_O)

    def alive(self, batch: int) -> int:
        sizes = (0, *self._model.sizes[1:])
        return batch * max(below + above for below, above in pairwise(sizes))

    def check_batch(self, batch_size: int) -> None:
        pass

    def static_tensors(self) -> Iterator[StaticTensor]:
        for name, parameter in self.parameters.items():
            yield StaticTensor(name, parameter, Category.PARAMETERS)


class _Blocks:
    """A net of units; running statistics follow the first pass of a batch."""

    def __init__(self, model: UnitNet, generator: torch.Generator) -> None:
        self._model, self._units = model, Units(model, generator)
        self.parameters = {
            each.name: each.tensor
            for each in self._units.held()
            if each.category is Category.PARAMETERS
        }

    def logits(self, x: torch.Tensor, *, again: bool) -> torch.Tensor:
        statistics = Statistics.BATCH_AGAIN if again else Statistics.BATCH
        with torch.no_grad():
            return self._units.forward(x, Pass(None, statistics))

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return self._units.predict(x)

    def alive(self, batch: int) -> int:
        sizes = (0, *(prod(shape) for shape in self._model.outputs))
        return batch * max(below + above for below, above in pairwise(sizes))

    def check_batch(self, batch_size: int) -> None:
        check_rows(self._model, batch_size)

    def static_tensors(self) -> Iterator[StaticTensor]:
        for each in self._units.held():
            yield StaticTensor(each.name, each.tensor, each.category)
