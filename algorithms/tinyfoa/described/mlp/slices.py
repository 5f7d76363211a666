"""The tensors of a fully connected net that TinyFoA (described) keeps between steps.

RAM holds the packed signs of the layers up to the active one, biases, one scale per layer, the
active layer's fixed head, and for slice (i, j) of its weight (output rows i, input columns j) the
latent values and Adam's moments. Latent weights of all layers are in storage. The order of the
M x M slices of a layer is in :mod:`trainfit.algorithms.tinyfoa.slice_turns`.

Shape suffixes: I inputs and O outputs of a layer, J outputs and K inputs of a slice, C classes,
M slices per side, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.numerics.binary.packing import pack_signs, packed_width
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.features import FeatureRule
from trainfit.algorithms.tinyfoa.options import FeatureSource, Kernel
from trainfit.algorithms.tinyfoa.variant import AdamSettings, fixed_head


@dataclass
class SlicedLayer:
    """One hidden layer between steps."""

    latent_OI: torch.Tensor  # storage
    packed_MOb: torch.Tensor  # bits of column group m in packed[m]
    bias_O: torch.Tensor
    scale: torch.Tensor  # mean(abs(latent)), a scalar
    head_CO: torch.Tensor


class SlicedRule(FeatureRule):
    """A rule with one slice of one layer in RAM; a subclass adds ``step``."""

    _reads_in_place = False

    def __init__(
        self,
        model: Mlp,
        slices: int,
        adam: AdamSettings,
        generator: torch.Generator,
        *,
        kernel: Kernel,
        features: FeatureSource,
    ) -> None:
        super().__init__(adam, kernel, slices, len(model.hidden), features)
        self._model = model
        self._layers = [self._new_layer(i, o, generator) for i, o in model.layers[:-1]]

    def _new_layer(self, inputs: int, outputs: int, generator: torch.Generator) -> SlicedLayer:
        latent_OI, bias_O = linear_init(inputs, outputs, generator)
        width = inputs // self._slices
        packed_MOb = torch.empty(self._slices, outputs, packed_width(width), dtype=torch.uint8)
        for m in range(self._slices):
            pack_signs(latent_OI[:, m * width : (m + 1) * width], packed_MOb[m], outputs)
        head_CO = fixed_head(outputs, self._model.classes, generator)
        return SlicedLayer(latent_OI, packed_MOb, bias_O, latent_OI.abs().mean(), head_CO)

    def _grid_size(self) -> tuple[int, int]:
        return self._slices, self._slices

    def _latent(self) -> torch.Tensor:
        return self._layers[self._active].latent_OI

    def _stored_slice(self) -> torch.Tensor:
        return self._latent()[self._rows(), self._columns()]

    def _companions(self) -> dict[str, torch.Tensor]:
        return {"b": self._layers[self._active].bias_O[self._rows()]}

    def _rows(self) -> slice:
        height = len(self._layers[self._active].latent_OI) // self._slices
        return slice(self._place[0] * height, (self._place[0] + 1) * height)

    def _columns(self) -> slice:
        width = self._layers[self._active].latent_OI.shape[1] // self._slices
        return slice(self._place[1] * width, (self._place[1] + 1) * width)

    def _inputs(self) -> int:
        return self._model.inputs

    def static_tensors(self) -> Iterator[StaticTensor]:
        """The layers that a step reads, the active one's head, the slice; others in storage."""
        for index, layer in enumerate(self._layers):
            number, unused = index + 1, self._above_or_cached(index)
            parameters, buffers = Category.PARAMETERS, Category.BUFFERS
            yield StaticTensor(f"latent{number}", layer.latent_OI, parameters, storage=True)
            yield StaticTensor(f"packed{number}", layer.packed_MOb, parameters, storage=unused)
            yield StaticTensor(f"b{number}", layer.bias_O, parameters, storage=unused)
            yield StaticTensor(f"scale{number}", layer.scale, parameters, storage=unused)
            idle = index != self._active
            yield StaticTensor(f"head{number}", layer.head_CO, buffers, storage=idle)
        yield from self._scale_tensors()
        yield StaticTensor("slice", self._slice, Category.PARAMETERS)
        for name, state in self._adam.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)
