"""Fully connected nets whose forward products have INT8 operands: the base of several rules.

Weights and activations are integers with one scale per tensor, ``t = s q``, quantised by their
largest magnitude and rounded to the nearest (:mod:`trainfit.algorithms.numerics.int8.quantise`)::

    z_l = s_h s_w (q_h q_w^T) + b_l      h_l = max(0, z_l)      (q_h, s_h) = Q(h_l)

The scale of an activation is that of the current batch, in training and in prediction: nothing is
calibrated. A rectifier passes a gradient where its output was not rounded to 0, since only its
integers are kept. Biases are float32.

The sums of a product are INT32; they are converted to float32 in the same memory, then to INT8. One
such matrix is alive at a time, because its scale is known only when it is complete.

Subclasses may have latent float32 weights ``w`` besides the integers ``q`` (and scales ``s``), or
the integers only.

Shape suffixes: R rows, C columns, B batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.int8.options import Int8Options
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.numerics.int8.forward import quantised_linear
from trainfit.algorithms.numerics.int8.quantise import (
    quantise,
    quantise_into,
    scale_of,
)
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.options import Rounding
from trainfit.algorithms.phases import Category, tag


def relu_backward_(dh_BI: torch.Tensor, h: Quantised) -> torch.Tensor:
    """``dh . 1[h > 0]`` in place, for the output h of a rectifier."""
    shut_BI = tag(torch.logical_not(h.q), Category.WORKSPACE, "rectifiers that are shut")
    return dh_BI.masked_fill_(shut_BI, 0.0)


Int8OptionsT = TypeVar("Int8OptionsT", bound=Int8Options)


class Int8Net(FullyConnected[Int8OptionsT]):
    """INT8 weights, the forward pass, and the prediction."""

    def __init__(self, model: Mlp, options: Int8OptionsT, *, seed: int = 0) -> None:
        self._weights: list[Quantised] = []
        super().__init__(model, options, seed=seed)

    @property
    def _latent(self) -> bool:
        """Whether float32 weights are kept besides the integers."""
        return True

    def _layer_parameters(
        self, number: int, w_OI: torch.Tensor, b_O: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        # With the default kernel, whatever is chosen for the steps: the bits are the same.
        self._weights.append(Quantised(*quantise(w_OI, rounding=Rounding.NEAREST)))
        parameters = super()._layer_parameters(number, w_OI, b_O)
        if not self._latent:
            del parameters[f"w{number}"]
        return parameters

    # ---- parts of a step --------------------------------------------------------------------

    def _quantise(self, t_RC: torch.Tensor) -> Quantised:
        """Q, for weights and activations."""
        return Quantised(*quantise(t_RC, rounding=Rounding.NEAREST, kernel=self.options.kernel))

    def _forward(self, x_BI: torch.Tensor) -> tuple[list[Quantised], torch.Tensor]:
        """The inputs of all layers, that of the net first, and the logits."""
        kept = [self._quantise(x_BI)]
        for number in range(1, len(self.model.layers)):
            z_BO = self._quantised_linear(kept[-1], number).relu_()
            kept.append(self._quantise(z_BO))
            del z_BO
        return kept, self._quantised_linear(kept[-1], len(self.model.layers))

    def _quantised_linear(self, h: Quantised, number: int) -> torch.Tensor:
        b_O = self._parameters[f"b{number}"]
        return quantised_linear(h, self._weights[number - 1], b_O, self.options.kernel)

    def _requantise(self, number: int) -> None:
        """Quantise a layer's latent weights again."""
        weight, w_OI = self._weights[number - 1], self._parameters[f"w{number}"]
        weight.scale.copy_(tag(scale_of(w_OI), Category.WORKSPACE, "scale"))
        quantise_into(
            w_OI,
            weight.q,
            weight.scale,
            rounding=Rounding.NEAREST,
            kernel=self.options.kernel,
        )

    # ---- what is kept -----------------------------------------------------------------------

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        with torch.no_grad():
            return self._forward(x)[1]

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Latent weights if any, biases, optimiser state, integers and their scales."""
        yield from super().static_tensors()
        for number, (q_OI, scale) in enumerate(self._weights, start=1):
            yield StaticTensor(f"q{number}", q_OI, Category.PARAMETERS)
            yield StaticTensor(f"s{number}", scale, Category.PARAMETERS)
