"""What training rules on fully connected nets have in common, so that a new rule is short.

A heir gets weights ``w1, b1, ...`` (the classifier last), an optimiser with state, a forward pass,
the prediction, and the closed forms of all of these. It adds its ``step`` and the walk through it.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch
from pydantic import Field
from torch.nn import functional

from .base import Algorithm, AlgorithmOptions, StaticTensor, hold_inputs
from .errors import ConfigurationError
from .models import Mlp
from .models.mlp import linear_init
from .numerics.optimisers import OptimizerName, make_optimiser
from .numerics.schedules import Decay, rate_factor
from .operations import Kind
from .phases import Category, phase, tag
from .plan import Item, MemoryPlan


class TrainingOptions(AlgorithmOptions):
    """How weights follow their gradients, whatever rule the gradients come from."""

    optimizer: OptimizerName = OptimizerName.SGD
    lr: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    decay: Decay = Decay.CONSTANT


TrainingOptionsT = TypeVar("TrainingOptionsT", bound=TrainingOptions)


class FullyConnected(Algorithm[TrainingOptionsT]):
    """A rule on a fully connected net: parameters, optimiser, forward pass, prediction."""

    def __init__(self, model: Mlp, options: TrainingOptionsT, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._optimiser = make_optimiser(options.optimizer, options.lr, options.momentum)
        self._parameters: dict[str, torch.Tensor] = {}
        for number, (inputs, outputs) in enumerate(model.layers, start=1):
            w_OI, b_O = linear_init(inputs, outputs, self.generator)
            self._parameters |= {f"w{number}": w_OI, f"b{number}": b_O}
        for name, parameter in self._parameters.items():
            self._optimiser.add(name, parameter)

    def _need_hidden_layers(self) -> None:
        """Refuse a net without hidden layers.

        Raises:
            ConfigurationError: Naming one that would do.
        """
        if not self.model.hidden:
            raise ConfigurationError(
                f"{self.name} trains hidden layers, {self.model.name!r} has none;"
                f" use for instance mlp-{self.model.inputs}-128-{self.model.classes}"
            )

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the learning rate of the pass."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor

    # ---- parts of a step --------------------------------------------------------------------

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        """Pre-activation of layer ``number`` (from 1), shape (B, O)."""
        return functional.linear(
            h_BI, self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        )

    def _plan_linear(self, plan: MemoryPlan, batch: int, number: int, name: str) -> Item:
        inputs, outputs = self.model.layers[number - 1]
        plan.product(batch, inputs, outputs)
        plan.each(Kind.ADD, batch * outputs)
        return plan.alloc(name, (batch, outputs), Category.ACTIVATIONS)

    def _apply(self, number: int, dz_BO: torch.Tensor, h_BI: torch.Tensor) -> None:
        """Update a layer from the gradient of its pre-activation: dw = dz^T h, db = sum dz."""
        with phase("update"):
            db_O = tag(dz_BO.sum(0), Category.GRADIENTS, f"db{number}")
            self._optimiser.apply(f"b{number}", self._parameters[f"b{number}"], db_O)
            del db_O
            self._optimiser.apply_product(
                f"w{number}", self._parameters[f"w{number}"], dz_BO.T, h_BI
            )

    def _plan_apply(self, plan: MemoryPlan, batch: int, number: int) -> None:
        inputs, outputs = self.model.layers[number - 1]
        with plan.phase("update"):
            db = plan.alloc(f"db{number}", (outputs,), Category.GRADIENTS)
            plan.each(Kind.ADD, batch * outputs)
            self._optimiser.plan_apply(plan, outputs)
            plan.free(db)
            self._optimiser.plan_apply_product(plan, f"w{number}", (outputs, inputs), batch)

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
            yield StaticTensor(name, parameter, Category.PARAMETERS)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)

    def _plan_static(self, batch_size: int) -> MemoryPlan:
        """A plan that holds the batch, all parameters and the optimiser's state."""
        plan = MemoryPlan()
        hold_inputs(plan, self.model, batch_size)
        for name, parameter in self._parameters.items():
            plan.hold(name, tuple(parameter.shape), Category.PARAMETERS)
            self._optimiser.plan_static(plan, name, tuple(parameter.shape))
        return plan
