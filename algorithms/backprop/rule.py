"""Backpropagation (Rumelhart, Hinton & Williams 1986), and its memory-saving forms.

The gradient is autograd's, as in common practice. Three options, which can be combined, save memory
for a fair comparison with rules that claim to need less:

* ``checkpoint=N``: of every N hidden layers only the first input is kept; the rest is recomputed
  when the gradient arrives (Chen et al. 2016).
* ``micro_batch=N``: N rows at a time, gradients accumulated, one update.
* ``update=fused``: a gradient is applied and freed as soon as it exists.
* ``update=product``: a weight's gradient goes into its momentum, or into the weight, as it is
  computed, and never exists, as in the closed forms of Forward-Forward and other rules here;
  with Adam, that of a few rows does.

Three more give the baseline that TinyFoA is compared with, in closed form instead of by autograd
(:mod:`trainfit.algorithms.backprop.binary`): ``weights=binary``, ``activations=binary`` and
``slices=M``. Of the options above, only ``update=fused`` can be combined with them.

Nets of units are trained by :mod:`trainfit.algorithms.backprop.units`, with the same options but
for ``slices``.

``update=product`` (:mod:`trainfit.algorithms.backprop.product`) does the same mathematics as the
other two and rounds in another order: they add up ``dz^T h`` and then add ``momentum m``, it adds
the terms of ``dz^T h`` to ``momentum m``. Where m is 0, as in a first step, that is no difference;
without momentum, with Nesterov's and with Adam a first step differs by roundings, too.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from trainfit.algorithms.backprop.binary import BinaryBackprop
from trainfit.algorithms.backprop.loss import mean_loss
from trainfit.algorithms.backprop.options import (
    BACKPROP,
    BackpropOptions,
    SliceRule,
    Update,
    check_together,
)
from trainfit.algorithms.backprop.product import Product
from trainfit.algorithms.backprop.units import BackpropOnUnits
from trainfit.algorithms.contract import Algorithm, StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.numerics.optimisers import Optimiser, optimiser_of
from trainfit.algorithms.numerics.schedules import rate_factor
from trainfit.algorithms.phases import Category, phase
from trainfit.algorithms.tiling import in_tiles


class Backprop(Algorithm[BackpropOptions], about=BACKPROP):
    """A rectifier net, gradients by autograd if it is float, update in place."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (BackpropOnUnits,)
    storage_note = "no step writes it: a slice is written back after its turn (once per pass)"
    model: Mlp

    def __init__(self, model: Mlp, options: BackpropOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        check_together(options)
        self._optimiser = self._new_optimiser()
        self._parameters: dict[str, torch.Tensor] = {}
        self._binary: BinaryBackprop | None = None
        self._product: Product | None = None
        if options.closed_form:
            self._binary = self._in_closed_form()
        else:
            self._add_parameters()
        if options.update is Update.PRODUCT:
            self._product = Product(
                model,
                self._parameters,
                self._optimiser,
                loss=options.loss,
                segment=options.checkpoint,
            )

    def _new_optimiser(self) -> Optimiser:
        return optimiser_of(self.options)

    def _add_parameters(self) -> None:
        for number, (inputs, outputs) in enumerate(self.model.layers, start=1):
            w_OI, b_O = linear_init(inputs, outputs, self.generator)
            by_autograd = self.options.update is not Update.PRODUCT
            self._parameters[f"w{number}"] = w_OI.requires_grad_(by_autograd)
            self._parameters[f"b{number}"] = b_O.requires_grad_(by_autograd)
        for name, parameter in self._parameters.items():
            self._optimiser.add(name, parameter.detach())
            if self.options.update is Update.FUSED:
                parameter.register_post_accumulate_grad_hook(self._updater(name))

    def _in_closed_form(self) -> BinaryBackprop:
        """The rule for binary weights, binary activations and slices.

        Raises:
            ConfigurationError: Other options, or the net, do not allow it.
        """
        options, model = self.options, self.model
        if options.checkpoint or options.micro_batch:
            raise ConfigurationError(
                "backprop: checkpoint and micro_batch go with weights=float, activations=float and"
                " slices=1 only; leave them at 0"
            )
        if options.update is Update.PRODUCT:
            raise ConfigurationError(
                "backprop: update=product goes with weights=float, activations=float, slices=1 and"
                " slice_rule=described only: the gradient of binary weights has to be cut, and that"
                " of slices and of bits is made whole, before it is applied; choose update=fused"
            )
        if not model.hidden:
            raise ConfigurationError(
                f"backprop binarises and slices hidden layers, {model.name!r} has none;"
                f" use for instance mlp-{model.inputs}-128-{model.classes}"
            )
        if options.slices == 1 and options.slice_rule is SliceRule.RELEASED:
            raise ConfigurationError(
                "backprop: slice_rule=released leaves one diagonal block of slices x slices as it"
                " is; with slices=1 that is the whole layer, choose 2 or more"
            )
        for width in model.sizes[:-1]:
            if width % options.slices:
                raise ConfigurationError(
                    f"backprop: slices={options.slices} does not divide width {width} of"
                    f" {model.name!r}; choose a divisor of all widths but the last"
                )
        return BinaryBackprop(
            model,
            self.generator,
            weights=options.weights,
            activations=options.activations,
            slices=options.slices,
            slice_rule=options.slice_rule,
            loss=options.loss,
            new_optimiser=self._new_optimiser,
            fused=options.update is Update.FUSED,
        )

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Choose the slices of this pass, and set its learning rate."""
        super().begin_epoch(epoch, epochs)
        factor = rate_factor(self.options.decay, epoch % epochs, epochs)
        self._optimiser.lr = self.options.lr * factor
        if self._binary is not None:
            self._binary.enter_pass(epoch, self._optimiser.lr)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update from the mean loss of the batch."""
        if self._binary is not None:
            self._binary.step(x, y)
            return
        if self._product is not None:
            self._product.step(x, y)
            return
        if self.options.checkpoint:
            import_module("torch._dynamo")  # at checkpoint's first call frames would keep tensors
        rows = self.options.micro_batch or len(x)
        self._optimiser.begin_step()
        for part in in_tiles(len(x), rows, apart=True):
            x_BI, y_B = x[part], y[part]
            with phase("forward"):
                loss = mean_loss(self._forward(x_BI), y_B, self.options.loss)
            with phase("gradient"):
                # The mean over the batch weights each micro-batch by its number of rows.
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
            return self._forward(x) if self._binary is None else self._binary.predict(x)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters and optimiser state."""
        if self._binary is not None:
            yield from self._binary.static_tensors()
            return
        for name, parameter in self._parameters.items():
            yield StaticTensor(name, parameter, Category.PARAMETERS)
        for name, state in self._optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
