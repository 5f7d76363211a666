"""What TinyFoA (described) keeps between steps, and how slices take turns.

RAM holds the packed signs of the layers up to the active one, biases, one scale per layer, the
active layer's fixed head, and for slice (i, j) of its weight (input columns i, output rows j) the
latent values and Adam's moments. Latent weights of all layers are in storage; a slice is fetched
when its turn comes and written back after it, its moments start at zero. Slices take turns pass
by pass, row by row of the M x M grid.

Shape suffixes: I inputs and O outputs of a layer, J outputs and K inputs of a slice, C classes,
M slices per side, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .base import StaticTensor
from .models import Mlp
from .models.mlp import linear_init
from .numerics.binary import pack_signs, packed_width
from .numerics.optimisers import Adam
from .phases import Category
from .tinyfoa_rule import Rule, fixed_head


@dataclass
class Layer:
    """One hidden layer as it is kept between steps."""

    latent_OI: torch.Tensor  # storage
    packed_MOb: torch.Tensor  # bits of column group m in packed[m]
    bias_O: torch.Tensor
    scale: torch.Tensor  # mean(abs(latent)), a scalar
    head_CO: torch.Tensor


class SlicedRule(Rule):
    """A rule that has one slice of one layer in RAM; ``step`` is left to its heir."""

    def __init__(self, model: Mlp, slices: int, lr: float, generator: torch.Generator) -> None:
        self._model = model
        self._slices = slices
        self._lr = lr
        self._layers = [self._new_layer(i, o, generator) for i, o in model.layers[:-1]]
        self._active = -1
        self._place = (0, 0)

    def _new_layer(self, inputs: int, outputs: int, generator: torch.Generator) -> Layer:
        latent_OI, bias_O = linear_init(inputs, outputs, generator)
        width = inputs // self._slices
        packed_MOb = torch.empty(self._slices, outputs, packed_width(width), dtype=torch.uint8)
        for m in range(self._slices):
            pack_signs(latent_OI[:, m * width : (m + 1) * width], packed_MOb[m], outputs)
        head_CO = fixed_head(outputs, self._model.classes, generator)
        return Layer(latent_OI, packed_MOb, bias_O, latent_OI.abs().mean(), head_CO)

    def enter_layer(self, index: int) -> None:
        """Put the active slice back, fetch the first one of another layer."""
        self._put_back()
        self._active = index
        self._fetch(0, 0)

    def enter_slice(self, epoch: int) -> None:
        """Slices take turns, row by row of the grid."""
        self._put_back()
        self._fetch(*divmod(epoch % self._slices**2, self._slices))

    def _latent(self) -> torch.Tensor:
        """View of the active slice in storage."""
        rows, columns = self._rows(), self._columns()
        return self._layers[self._active].latent_OI[rows, columns]

    def _rows(self) -> slice:
        height = len(self._layers[self._active].latent_OI) // self._slices
        return slice(self._place[0] * height, (self._place[0] + 1) * height)

    def _columns(self) -> slice:
        width = self._layers[self._active].latent_OI.shape[1] // self._slices
        return slice(self._place[1] * width, (self._place[1] + 1) * width)

    def _put_back(self) -> None:
        if self._active >= 0:
            self._latent().copy_(self._w_JK)

    def _fetch(self, row: int, column: int) -> None:
        self._place = (row, column)
        layer = self._layers[self._active]
        self._w_JK = self._latent().clone()
        bias_J = layer.bias_O[self._rows()]
        # What the other slices contribute to the layer's scale, while they do not change.
        others = layer.latent_OI.abs().sum(dtype=torch.float64) - self._w_JK.abs().sum(
            dtype=torch.float64
        )
        self._others = float(others)
        self._adam = Adam(self._lr)
        self._adam.add("w", self._w_JK)
        self._adam.add("b", bias_J)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Packed layers up to the active one, its head, and the slice; the rest is storage."""
        for index, layer in enumerate(self._layers):
            number, above = index + 1, index > self._active
            parameters, buffers = Category.PARAMETERS, Category.BUFFERS
            yield StaticTensor(f"latent{number}", layer.latent_OI, parameters, storage=True)
            yield StaticTensor(f"packed{number}", layer.packed_MOb, parameters, storage=above)
            yield StaticTensor(f"b{number}", layer.bias_O, parameters, storage=above)
            yield StaticTensor(f"scale{number}", layer.scale, parameters, storage=above)
            idle = index != self._active
            yield StaticTensor(f"head{number}", layer.head_CO, buffers, storage=idle)
        yield StaticTensor("slice", self._w_JK, Category.PARAMETERS)
        for name, state in self._adam.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
