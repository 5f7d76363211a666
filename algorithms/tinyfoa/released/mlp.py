"""TinyFoA on fully connected nets as its authors' released code trains it.

Parts that do not depend on the architecture are in
:mod:`trainfit.algorithms.tinyfoa.released.rule`. A layer is its product with binarised weights and
a bias, then binarisation, then the rectifier.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.tinyfoa.released.rule import ReleasedRule, binarise
from trainfit.algorithms.tinyfoa.variant import AdamSettings, fixed_head


class Released(ReleasedRule):
    """Dense training of one binarised fully connected layer."""

    def __init__(
        self, model: Mlp, slices: int, adam: AdamSettings, generator: torch.Generator
    ) -> None:
        super().__init__(slices, adam)
        self._model = model
        for inputs, outputs in model.layers[:-1]:
            w_OI, b_O = linear_init(inputs, outputs, generator)
            self._layers.append({"w": w_OI.requires_grad_(), "b": b_O.requires_grad_()})
            self._fixed.append({"head": fixed_head(outputs, model.classes, generator)})

    def _block_view(self, w: torch.Tensor) -> torch.Tensor:
        height, width = w.shape[0] // self._slices, w.shape[1] // self._slices
        row, column = self._block * height, self._block * width
        return w[row : row + height, column : column + width]

    def _layer(self, h: torch.Tensor, index: int, *, training: bool) -> torch.Tensor:
        del training  # nothing here differs between training and prediction
        layer = self._layers[index]
        return torch.relu(binarise(functional.linear(h, binarise(layer["w"]), layer["b"])))

    def _head(self, h: torch.Tensor) -> torch.Tensor:
        return functional.linear(h, self._fixed[self._active]["head"])
