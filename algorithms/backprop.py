"""Backpropagation (Rumelhart, Hinton & Williams 1986), and its memory-saving forms.

The gradient is autograd's, as everybody runs it. Three options make it the fair rival of rules
that claim to need less memory, and they combine:

* ``checkpoint=N``: of every N hidden layers only the first input is kept; the rest is recomputed
  when the gradient arrives (Chen et al. 2016).
* ``micro_batch=N``: N rows at a time, gradients accumulated, one update.
* ``update=fused``: a gradient is applied and freed as soon as it exists.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .backprop_memory import plan_step
from .base import Algorithm, AlgorithmOptions, StaticTensor
from .errors import ConfigurationError
from .models import Mlp
from .models.mlp import linear_init
from .numerics.optimisers import OptimizerName, make_optimiser
from .phases import Category, phase
from .plan import MemoryPlan


class Update(StrEnum):
    """When a gradient is applied."""

    SEPARATE = "separate"
    FUSED = "fused"


class BackpropOptions(AlgorithmOptions):
    """Options of ``backprop``."""

    optimizer: OptimizerName = OptimizerName.SGD
    lr: float = Field(default=0.05, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    checkpoint: int = Field(default=0, ge=0)
    """Hidden layers per recomputed segment; 0 keeps all activations."""
    micro_batch: int = Field(default=0, ge=0)
    """Rows per forward and backward pass; 0 takes the whole batch at once."""
    update: Update = Update.SEPARATE


class Backprop(Algorithm[BackpropOptions]):
    """Cross-entropy on a rectifier net, gradients by autograd, update in place."""

    name: ClassVar[str] = "backprop"
    summary: ClassVar[str] = "backpropagation, with checkpointing, micro-batches, fused update"
    paper: ClassVar[str] = "Rumelhart, Hinton & Williams, Nature 323, 1986"
    options_type: ClassVar[type[AlgorithmOptions]] = BackpropOptions

    def __init__(self, model: Mlp, options: BackpropOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        if options.update is Update.FUSED and options.micro_batch:
            raise ConfigurationError(
                "backprop: update=fused frees each gradient at once, micro_batch keeps them until"
                " the last rows; choose one"
            )
        self._optimiser = make_optimiser(options.optimizer, options.lr, options.momentum)
        self._parameters: dict[str, torch.Tensor] = {}
        for number, (inputs, outputs) in enumerate(model.layers, start=1):
            w_OI, b_O = linear_init(inputs, outputs, self.generator)
            self._parameters[f"w{number}"] = w_OI.requires_grad_()
            self._parameters[f"b{number}"] = b_O.requires_grad_()
        for name, parameter in self._parameters.items():
            self._optimiser.add(name, parameter.detach())
            if options.update is Update.FUSED:
                parameter.register_post_accumulate_grad_hook(self._updater(name))

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean cross-entropy over the batch."""
        rows = self.options.micro_batch or len(x)
        self._optimiser.begin_step()
        for start in range(0, len(x), rows):
            x_BI, y_B = x[start : start + rows], y[start : start + rows]
            with phase("forward"):
                loss = functional.cross_entropy(self._forward(x_BI), y_B)
            with phase("gradient"):
                # The gradient of the mean over the batch weighs each micro-batch by its rows.
                loss.backward(None if rows >= len(x) else torch.tensor(len(x_BI) / len(x)))
                del loss
        if self.options.update is Update.SEPARATE:
            with phase("update"), torch.no_grad():
                for name, parameter in self._parameters.items():
                    assert parameter.grad is not None
                    self._optimiser.apply(name, parameter, parameter.grad)
                    parameter.grad = None

    def _updater(self, name: str) -> Any:
        def apply(parameter: torch.Tensor) -> None:
            assert parameter.grad is not None
            with phase("update"), torch.no_grad():
                self._optimiser.apply(name, parameter, parameter.grad)
                parameter.grad = None

        return apply

    def _forward(self, x_BI: torch.Tensor) -> torch.Tensor:
        """Logits of shape (B, C)."""
        hidden = len(self.model.hidden)
        segment = self.options.checkpoint or hidden
        h_BI = x_BI
        for first in range(1, hidden + 1, max(segment, 1)):
            last = min(first + segment - 1, hidden)
            if self.options.checkpoint and last > first and torch.is_grad_enabled():
                h_BI = checkpoint(
                    self._hidden,
                    h_BI,
                    first,
                    last,
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
            else:
                h_BI = self._hidden(h_BI, first, last)
        return self._linear(h_BI, hidden + 1)

    def _hidden(self, h_BI: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """Hidden layers ``first`` to ``last``, counted from 1."""
        for number in range(first, last + 1):
            h_BI = self._linear(h_BI, number).relu_()
        return h_BI

    def _linear(self, h_BI: torch.Tensor, number: int) -> torch.Tensor:
        w_OI, b_O = self._parameters[f"w{number}"], self._parameters[f"b{number}"]
        return functional.linear(h_BI, w_OI, b_O)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        with torch.no_grad():
            return self._forward(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters and optimiser state."""
        for name, parameter in self._parameters.items():
            yield StaticTensor(name, parameter, Category.PARAMETERS)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)

    def memory_model(self, batch_size: int) -> MemoryPlan:
        """See :mod:`algorithms.backprop_memory`."""
        options = self.options
        return plan_step(
            self.model,
            self._optimiser,
            batch_size,
            rows=options.micro_batch or batch_size,
            segment=options.checkpoint,
            fused=options.update is Update.FUSED,
        )
