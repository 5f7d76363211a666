"""The chain rule in INT8: the base of all rules whose gradients are quantised to INT8.

All products have INT8 operands and INT32 sums::

    forward as in trainfit.algorithms.int8.net       e = dL/dz_L, float32
    (q_d, s_d) = Q(dz_l)                    dz_L = e
    dz_{l-1} = s_d s_w (q_d q_w) . 1[q_h > 0]
    dw_l = s_d s_h (q_d^T q_h)              db_l = sum of dz_l over the batch

Between the forward pass and the gradient, activations are INT8. A gradient of activations is
float32 in the memory of its INT32 sums until it is rounded; one is alive at a time. It is
propagated down and rounded before the weights it went through are updated. Biases are float32 and
use the gradient before rounding.

A weight gradient is not rounded again. With ``weight_gradient=rows`` a few rows of it exist at a
time; with ``whole``, a layer's gradient exists at once. If weights are INT8 only, their new range
is known only after all are updated: with ``rows`` the products are computed twice, for the range
and for the rounding (:func:`trainfit.algorithms.numerics.int8.update.move_int8`); latent weights
are updated in tiles of float32.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes, T outputs of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.int8.net import Int8Net, relu_backward_
from trainfit.algorithms.int8.options import RoundedOptions, WeightGradient
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8.gradients import NewQuantiser, QuantisedGradient
from trainfit.algorithms.numerics.int8.layer import QuantConfig
from trainfit.algorithms.numerics.int8.products import int8_grad_input, int8_grad_weight
from trainfit.algorithms.numerics.int8.quantise import draw_seed, nth_seed, quantise_into, scale_of
from trainfit.algorithms.numerics.int8.scaled import (
    Quantised,
    add_dequantised_,
    rescale_,
    tile_height,
)
from trainfit.algorithms.numerics.int8.update import move_int8
from trainfit.algorithms.numerics.losses import logit_gradient_
from trainfit.algorithms.numerics.shrinking import LEAST_OF_SCALES, Shrinking
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles

RoundedOptionsT = TypeVar("RoundedOptionsT", bound=RoundedOptions)


class Int8Chain(Int8Net[RoundedOptionsT]):
    """Backpropagation with INT8 operands in all three products of a layer.

    Subclasses choose whether there are latent weights.

    Args:
        model: The net.
        options: Those of the rule.
        quantiser: Makes what rounds the gradients of a layer.
        seed: Of the generator.
    """

    def __init__(
        self, model: Mlp, options: RoundedOptionsT, quantiser: NewQuantiser, *, seed: int = 0
    ) -> None:
        super().__init__(model, options, seed=seed)
        self._quantisers = [quantiser(outputs) for _, outputs in model.layers]
        self._seed = 0
        self._shrinking = [Shrinking(LEAST_OF_SCALES) for _ in model.layers]

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of every layer, the last one first."""
        self._optimiser.begin_step()
        layers = len(self.model.layers)
        with torch.no_grad():
            with phase("forward"):
                kept, logits_BC = self._forward(x)
            with phase("gradient"):
                if self.options.rounding is Rounding.STOCHASTIC:
                    self._seed = draw_seed(self.generator)
                error_BC = logit_gradient_(logits_BC, y, self.options.loss)
                above = self._round(layers, error_BC)
                del logits_BC, error_BC
            for number in range(layers, 0, -1):
                (db_O, d), h = above, kept.pop()
                if number > 1:
                    with phase("gradient"):
                        above = self._round(number - 1, self._pass_down(number, d, h))
                self._update(number, db_O, d, h)
                del db_O, d, h

    def _round(self, number: int, dz_BO: torch.Tensor) -> tuple[torch.Tensor, QuantisedGradient]:
        """The gradient of a layer's bias, and that of its pre-activations in INT8."""
        seed = nth_seed(self._seed, 2 * number)
        quantiser, to_input = self._quantisers[number - 1], number > 1
        return dz_BO.sum(0), quantiser.quantise(dz_BO, seed, to_input=to_input)

    def _pass_down(self, number: int, d: QuantisedGradient, h: Quantised) -> torch.Tensor:
        """``dz`` of the layer below ``number``, float32."""
        weight = self._weights[number - 1]
        sums_BI = int8_grad_input(d.for_inputs.q, weight.q, kernel=self.options.kernel)
        return relu_backward_(rescale_(sums_BI, d.for_inputs.scale, weight.scale), h)

    def _update(self, number: int, db_O: torch.Tensor, d: QuantisedGradient, h: Quantised) -> None:
        """Update a layer, at its own rate."""
        optimiser, lr = self._optimiser, self._optimiser.lr
        optimiser.lr = lr * d.rate
        with phase("update"):
            optimiser.apply(f"b{number}", self._parameters[f"b{number}"], db_O)
        if self._latent:
            self._move_latent(number, d.for_weights, h)
        else:
            self._shrink(number)
            self._move_integers(number, d.for_weights, h)
        optimiser.lr = lr

    def _shrink(self, number: int) -> None:
        """Weight decay of integers: their scale is made smaller, which rounds none of them."""
        if self.options.weight_decay:
            part = self._optimiser.lr * self.options.weight_decay
            with phase("update"):
                self._weights[number - 1].scale.mul_(self._shrinking[number - 1].factor(part))

    def _move_latent(self, number: int, d: Quantised, h: Quantised) -> None:
        """Update float32 weights, then round them."""
        name = f"w{number}"
        for rows in self._tiles(number):
            dw_TI = self._weight_gradient(d, h, rows)
            with phase("update"):
                self._optimiser.apply_rows(name, self._parameters[name], dw_TI, rows)
            del dw_TI  # otherwise two tiles would be alive in the next iteration
        with phase("update"):
            self._requantise(number)

    def _move_integers(self, number: int, d: Quantised, h: Quantised) -> None:
        """``Q(w - lr dw)``, with the largest magnitude of the whole matrix as range."""
        weight, lr = self._weights[number - 1], self._optimiser.lr
        way = QuantConfig(self.options.rounding, self.options.kernel)
        seed = nth_seed(self._seed, 2 * number + 1)
        if self.options.weight_gradient is WeightGradient.ROWS:
            with phase("update"):
                factor = float(tag(d.scale * h.scale, Category.WORKSPACE, "product of scales"))
                move_int8(*weight, d.q, h.q, factor, -lr, way, seed)
            return
        dw_OI = self._weight_gradient(d, h, slice(0, len(weight.q)))
        with phase("update"):
            dw_OI.mul_(-lr)
            height = -(-tile_height(*weight.q.shape) // 4)  # beside the gradient
            w_OI = add_dequantised_(dw_OI, weight, height)
            weight.scale.copy_(tag(scale_of(w_OI), Category.WORKSPACE, "new scale"))
            quantise_into(
                w_OI,
                weight.q,
                weight.scale,
                rounding=self.options.rounding,
                seed=seed,
                kernel=self.options.kernel,
            )

    def _tiles(self, number: int) -> Iterator[slice]:
        """The rows of a layer's weights that are updated at a time."""
        inputs, outputs = self.model.layers[number - 1]
        whole = self.options.weight_gradient is WeightGradient.WHOLE
        height = outputs if whole else tile_height(outputs, inputs)
        return in_tiles(outputs, height)

    def _weight_gradient(self, d: Quantised, h: Quantised, rows: slice) -> torch.Tensor:
        """Rows of ``dw``, float32."""
        with phase("gradient"):
            d_BT = d.q[:, rows]
            if not d_BT.is_contiguous():
                d_BT = tag(d_BT.contiguous(), Category.WORKSPACE, "columns of the gradient")
            sums_TI = int8_grad_weight(d_BT, h.q, kernel=self.options.kernel)
            return rescale_(sums_TI, d.scale_of(rows), h.scale)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Parameters, optimiser state and the buffers of the gradient quantisers."""
        yield from super().static_tensors()
        for number, quantiser in enumerate(self._quantisers, start=1):
            for name, buffer in quantiser.buffers():
                yield StaticTensor(f"{name}{number}", buffer, Category.BUFFERS)
