"""The base class of training rules on fully connected nets.

A subclass gets weights ``w1, b1, ...`` (the classifier last), an optimiser with state, a forward
pass, and the prediction. It adds ``step``.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch
from torch.nn import functional

from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.numerics.optimisers import Optimiser, Sgd, optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.options import (
    RateOptions,
    TrainingOptions,
)
from trainfit.algorithms.phases import Category, phase, tag

RateOptionsT = TypeVar("RateOptionsT", bound=RateOptions)
TrainingOptionsT = TypeVar("TrainingOptionsT", bound=TrainingOptions)


def _optimiser(options: RateOptions) -> Optimiser:
    """The update rule that is chosen; plain descent where only a rate can be."""
    if isinstance(options, TrainingOptions):
        return optimiser_of(options)
    return Sgd(options.lr, momentum=0.0, weight_decay=options.weight_decay)


class FullyConnected(Algorithm[RateOptionsT]):
    """A rule on a fully connected net: parameters, optimiser, forward pass, prediction."""

    model: Mlp

    def __init__(self, model: Mlp, options: RateOptionsT, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._optimiser = _optimiser(options)
        self._parameters: dict[str, torch.Tensor] = {}
        for number, (inputs, outputs) in enumerate(model.layers, start=1):
            w_OI, b_O = linear_init(inputs, outputs, self.generator)
            self._parameters |= self._layer_parameters(number, w_OI, b_O)
        for name, parameter in self._parameters.items():
            if self._is_trained(name):
                self._optimiser.add(name, parameter)

    def _layer_parameters(
        self, number: int, w_OI: torch.Tensor, b_O: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The parameters of a newly drawn layer, by name; without ``b`` it has no bias."""
        return {f"w{number}": w_OI, f"b{number}": b_O}

    def _is_trained(self, name: str) -> bool:
        """Whether a parameter has an optimiser state; overridden by rules that freeze some."""
        return True

    def _in_storage(self, name: str) -> bool:
        """Whether a parameter need not be in RAM; overridden by rules that only read some."""
        return False

    def _need_hidden_layers(self) -> None:
        """Refuse a net without hidden layers.

        Raises:
            ConfigurationError: The message names a net that would do.
        """
        if not self.model.hidden:
            raise ConfigurationError(
                f"{self.name} trains hidden layers, {self.model.name!r} has none;"
                f" use for instance mlp-{self.model.inputs}-128-{self.model.classes}"
            )

    def _restart_optimiser(self) -> None:
        """Forget the optimiser's states and steps; for rules with stages."""
        self._optimiser = _optimiser(self.options)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    # ---- parts of a step --------------------------------------------------------------------

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        """Pre-activation of layer ``number`` (from 1), shape (B, O)."""
        return functional.linear(
            h_BI, self._parameters[f"w{number}"], self._parameters.get(f"b{number}")
        )

    def _apply(self, number: int, dz_BO: torch.Tensor, h_BI: torch.Tensor) -> None:
        """Update a layer from the gradient of its pre-activation: dw = dz^T h, db = sum dz."""
        with phase("update"):
            if f"b{number}" in self._parameters:
                self._apply_bias(number, dz_BO)
            self._apply_weight(number, dz_BO, h_BI)

    def _apply_bias(self, number: int, dz_BO: torch.Tensor) -> None:
        db_O = tag(dz_BO.sum(0), Category.GRADIENTS, f"db{number}")
        self._optimiser.apply(f"b{number}", self._parameters[f"b{number}"], db_O)

    def _apply_weight(self, number: int, dz_BO: torch.Tensor, h_BI: torch.Tensor) -> None:
        name = f"w{number}"
        self._optimiser.apply_product(name, self._parameters[name], dz_BO.T, h_BI)

    # ---- what is kept -----------------------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        with torch.no_grad():
            h_BI = x
            for number in range(1, len(self.model.layers)):
                h_BI = self._linear(h_BI, number).relu_()
            return self._linear(h_BI, len(self.model.layers))

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters and optimiser state."""
        for name, parameter in self._parameters.items():
            storage = self._in_storage(name)
            yield StaticTensor(name, parameter, Category.PARAMETERS, storage=storage)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
