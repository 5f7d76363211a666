"""Fully connected nets whose hidden layers may have binary weights and activations.

The "+BW" and "+BA" forms of other rules that TinyFoA (Huang & Aminifar, AAAI 2025) is compared
with. A subclass of :class:`BinarisedNet` steps like one of :class:`FullyConnected`, but a layer may
read bits. For a hidden layer with latent weights W::

    z = alpha h sign(W)^T + b      alpha = mean(abs(W))           dW = dz^T h 1[abs(W) < 1]

:mod:`trainfit.algorithms.numerics.binary.activations` defines how activations are binarised,
:mod:`trainfit.algorithms.numerics.binary.signed_activations` the binarised tanh. The batch stays
real-valued and the classifier float. With binary weights all parameters are clipped to [-1, 1]
after each update.

A gradient that is cut, or whose layer reads bits, cannot go into the momentum as a product. It is
computed for some outputs at a time, and each tile is applied before the next is computed, so that
it never determines the peak. Each tile unpacks the layer's input again.

Shape suffixes: B batch, I inputs and O outputs of a layer, T outputs of a tile.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TypeVar

import torch

from trainfit.algorithms.models import Mlp
from trainfit.algorithms.nets.fully_connected import FullyConnected
from trainfit.algorithms.numerics.binary.activations import (
    Hidden,
    ste_clip_,
    tile_extent,
    weight_gradient,
)
from trainfit.algorithms.numerics.binary.sign_weights import LatentSigns
from trainfit.algorithms.numerics.binary.weights import FloatWeights, Weights, linear
from trainfit.algorithms.options import BinarisedOptions, Precision
from trainfit.algorithms.phases import phase
from trainfit.algorithms.tiling import in_tiles

_LEAST = 16  # outputs of a tile: fewer would save little memory and unpack often


BinarisedOptionsT = TypeVar("BinarisedOptionsT", bound=BinarisedOptions)


class BinarisedNet(FullyConnected[BinarisedOptionsT]):
    """Layers that read floats or bits, with weights that are floats or signs."""

    _cuts = True  # whether a binary weight's gradient is 0 if its magnitude is 1 or more

    def __init__(self, model: Mlp, options: BinarisedOptionsT, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self._bits = options.activations is Precision.BINARY
        self._clips = options.weights is Precision.BINARY
        matrices = [self._parameters[f"w{n}"][None] for n in range(1, len(model.layers) + 1)]
        *hidden, last = matrices
        self._weights: list[Weights] = [
            *(LatentSigns(w_1OI) if self._clips else FloatWeights(w_1OI) for w_1OI in hidden),
            FloatWeights(last),
        ]

    # ---- forward ----------------------------------------------------------------------------

    def _linear(self, h: Hidden, number: int) -> torch.Tensor:
        """Pre-activation of layer ``number`` (from 1), shape (B, O)."""
        weights = self._weights[number - 1]
        if isinstance(h, torch.Tensor) and not weights.binary:
            return super()._linear(h, number)
        return linear(h, weights, self._parameters.get(f"b{number}"), weights.scale())

    @abstractmethod
    def _hidden(self, h: Hidden, number: int, *, training: bool = True) -> Hidden:
        """The output of hidden layer ``number``; outside training without masks."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        with torch.no_grad():
            h: Hidden = x
            for number in range(1, len(self.model.layers)):
                h = self._hidden(h, number, training=False)
            return self._linear(h, len(self.model.layers))

    # ---- update -----------------------------------------------------------------------------

    def _apply(self, number: int, dz_BO: torch.Tensor, h: Hidden) -> None:
        """Update a layer from the gradient of its pre-activation, which is overwritten."""
        if isinstance(h, torch.Tensor) and not self._is_cut(number):
            super()._apply(number, dz_BO, h)
        else:
            if f"b{number}" in self._parameters:
                with phase("update"):
                    self._apply_bias(number, dz_BO)
            for outputs in self._tiles(number):
                self._apply_tile(number, dz_BO[:, outputs], h, outputs)
        self._clip(number)

    def _apply_tile(self, number: int, dz_BT: torch.Tensor, h: Hidden, outputs: slice) -> None:
        """Update the weights of some outputs; ``dz_BT`` is overwritten."""
        name = f"w{number}"
        w_OI = self._parameters[name]
        with phase("gradient"):
            dw_TI = weight_gradient(dz_BT, h, 0, w_OI.shape[1])
            if self._is_cut(number):
                ste_clip_(dw_TI, w_OI[outputs])
        with phase("update"):
            self._optimiser.apply_rows(name, w_OI, dw_TI, outputs)

    def _clip(self, number: int) -> None:
        """Clip the parameters of a layer to [-1, 1], if weights are binary."""
        if self._clips:
            with phase("update"):
                for parameter in self._of_layer(number):
                    parameter.clamp_(-1, 1)

    def _of_layer(self, number: int) -> list[torch.Tensor]:
        names = (f"w{number}", f"b{number}")
        return [self._parameters[name] for name in names if name in self._parameters]

    def _is_cut(self, number: int) -> bool:
        return self._cuts and self._weights[number - 1].binary

    def _tiles(self, number: int) -> Iterator[slice]:
        """Outputs whose weights are updated at a time, in multiples of eight."""
        return in_tiles(self.model.sizes[number], self._tile_rows(number))

    def _tile_rows(self, number: int) -> int:
        inputs, outputs = self.model.layers[number - 1]
        return 8 * -(-max(_LEAST, tile_extent(outputs, 4 * inputs)) // 8)
