"""The tensors of a locally connected net that TinyFoA (described) keeps between steps.

RAM holds, for the layers up to the active one, packed signs, biases, batch normalisation's
parameters and running statistics and one scale; the active layer's fixed head; and, for one slice,
the latent weights and Adam's moments, together with the biases, gains and shifts of its output
channels. Latent weights of all layers are in storage.

As in the released code, weights and biases are initialised from a normal distribution and heads
like ``torch.nn.Linear``; weights and biases are clipped to [-1, 1] at once, in that code only after
the first step.

Shape suffixes: N groups of output channels, M of input channels, P positions, J outputs of a
group, S segments of K inputs, I inputs of the head from a group (P times J), C classes, b bytes of
packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.numerics.binary.packing import pack_signs, packed_width
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tinyfoa.features import FeatureRule
from trainfit.algorithms.tinyfoa.grid import Grid, make_grids
from trainfit.algorithms.tinyfoa.options import FeatureSource, Kernel
from trainfit.algorithms.tinyfoa.variant import AdamSettings


@dataclass
class SlicedGridLayer:
    """One hidden layer between steps; the head and latent weights come last."""

    packed_NMPJSb: torch.Tensor
    bias_NPJ: torch.Tensor
    gain_NJ: torch.Tensor
    shift_NJ: torch.Tensor
    mean_NJ: torch.Tensor  # running
    variance_NJ: torch.Tensor  # running
    scale: torch.Tensor  # mean(abs(latent)), a scalar
    head_NCI: torch.Tensor
    head_bias_C: torch.Tensor
    latent_NMPJSK: torch.Tensor


_BUFFERS = ("mean_NJ", "variance_NJ", "head_NCI", "head_bias_C")


class LcSlicedRule(FeatureRule):
    """A rule with one slice of one layer in RAM; a subclass adds ``step``."""

    _reads_in_place = True

    def __init__(
        self,
        model: LocallyConnected,
        slices: int,
        adam: AdamSettings,
        generator: torch.Generator,
        *,
        kernel: Kernel,
        features: FeatureSource,
    ) -> None:
        super().__init__(adam, kernel, slices, len(model.hidden), features)
        self._model = model
        self._grids = make_grids(model, slices)
        self._layers = [_new_layer(grid, model.classes, generator) for grid in self._grids]

    def _grid_size(self) -> tuple[int, int]:
        grid = self._grids[self._active]
        return grid.groups, grid.columns

    def _latent(self) -> torch.Tensor:
        return self._layers[self._active].latent_NMPJSK

    def _stored_slice(self) -> torch.Tensor:
        return self._latent()[self._place]

    def _companions(self) -> dict[str, torch.Tensor]:
        layer, group = self._layers[self._active], self._place[0]
        return {
            "b": layer.bias_NPJ[group],
            "gain": layer.gain_NJ[group],
            "shift": layer.shift_NJ[group],
        }

    def _inputs(self) -> int:
        return self._model.inputs

    def static_tensors(self) -> Iterator[StaticTensor]:
        """The layers that a step reads, the active one's head, the slice; others in storage."""
        for index, layer in enumerate(self._layers):
            for field in fields(layer):
                name = field.name.rpartition("_")[0] or field.name
                storage = (
                    name == "latent"
                    or self._above_or_cached(index)
                    or (name.startswith("head") and index != self._active)
                )
                category = Category.BUFFERS if field.name in _BUFFERS else Category.PARAMETERS
                tensor = getattr(layer, field.name)
                yield StaticTensor(f"{name}{index + 1}", tensor, category, storage=storage)
        yield from self._scale_tensors()
        yield StaticTensor("slice", self._slice, Category.PARAMETERS)
        for name, state in self._adam.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)


def _new_layer(grid: Grid, classes: int, generator: torch.Generator) -> SlicedGridLayer:
    groups, outputs, units = grid.groups, grid.outputs, grid.units
    shape = (groups, grid.columns, grid.positions, outputs, grid.segments)
    latent_NMPJSK = torch.randn(*shape, grid.inputs, generator=generator).clamp_(-1, 1)
    packed_NMPJSb = torch.empty(*shape, packed_width(grid.inputs), dtype=torch.uint8)
    rows = latent_NMPJSK.numel() // grid.inputs
    pack_signs(latent_NMPJSK.view(rows, -1), packed_NMPJSb.view(rows, -1), rows)
    bias_NPJ = torch.randn(groups, grid.positions, outputs, generator=generator).clamp_(-1, 1)
    w_CI, head_bias_C = linear_init(groups * units, classes, generator)
    return SlicedGridLayer(
        packed_NMPJSb=packed_NMPJSb,
        bias_NPJ=bias_NPJ,
        gain_NJ=torch.ones(groups, outputs),
        shift_NJ=torch.zeros(groups, outputs),
        mean_NJ=torch.zeros(groups, outputs),
        variance_NJ=torch.ones(groups, outputs),
        scale=latent_NMPJSK.abs().mean(),
        head_NCI=w_CI.view(groups, classes, units),
        head_bias_C=head_bias_C,
        latent_NMPJSK=latent_NMPJSK,
    )
