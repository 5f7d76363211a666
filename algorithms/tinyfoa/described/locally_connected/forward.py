"""The forward pass of TinyFoA (described) on locally connected nets, one channel group at a time.

Layers below the active one normalise by their final running statistics, as in prediction. With
``frozen_statistics=batch`` they normalise by those of the batch, as in the released code, and the
running statistics keep changing. The paper is silent.

Shape suffixes: B batch, R rows (samples and positions), P positions, J outputs of a group, M groups
of output channels, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.numerics.batch_norm import (
    check_rows,
    normalise_by_batch_,
    normalise_by_running_,
)
from trainfit.algorithms.numerics.binary.packing import pack_positive, packed_width
from trainfit.algorithms.numerics.locally_connected import (
    add_binary_product,
    add_signed_product,
    bit_patches,
    real_patches,
)
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.tinyfoa.described.locally_connected.slices import LcSlicedRule
from trainfit.algorithms.tinyfoa.described.locally_connected.tiles import Tiles, choose_tiles
from trainfit.algorithms.tinyfoa.features import Features
from trainfit.algorithms.tinyfoa.options import FeatureSource, FrozenStatistics, Kernel
from trainfit.algorithms.tinyfoa.variant import AdamSettings


class LcForward(LcSlicedRule):
    """Products, and layers that are no longer trained; a subclass adds ``step``."""

    def __init__(
        self,
        model: LocallyConnected,
        slices: int,
        adam: AdamSettings,
        generator: torch.Generator,
        *,
        fused: bool,
        kernel: Kernel,
        frozen_statistics: FrozenStatistics,
        features: FeatureSource,
    ) -> None:
        super().__init__(model, slices, adam, generator, kernel=kernel, features=features)
        self._fused = fused
        self._frozen_by_batch = frozen_statistics is FrozenStatistics.BATCH

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch without variance."""
        check_rows(batch_size, self._model.positions)

    def _advance(self, index: int, features: Features, *, training: bool) -> None:
        layer, grid = self._layers[index], self._grids[index]
        h, scale_h = features.values, features.scale
        batch = len(h) if scale_h is None else h.shape[1]
        shape = (self._slices, batch, grid.positions, packed_width(grid.outputs))
        bits_MBPb = torch.empty(shape, dtype=torch.uint8)
        total = torch.zeros(())
        by_batch = training and self._frozen_by_batch
        normalise = normalise_by_batch_ if by_batch else normalise_by_running_
        for group in range(self._slices):
            u_BPJ = self._preactivation(index, group, h, scale_h)
            u_RJ = u_BPJ.view(-1, grid.outputs)
            normalise(u_RJ, layer.mean_NJ[group], layer.variance_NJ[group])
            u_RJ.mul_(layer.gain_NJ[group]).add_(layer.shift_NJ[group]).relu_()
            total.add_(u_RJ.sum())
            rows = self._tiles(batch, index).pack_rows
            pack_positive(u_RJ, bits_MBPb[group].view(len(u_RJ), -1), rows)
            del u_BPJ, u_RJ
        total.mul_(1.0 / (batch * grid.units * self._slices))
        features.values, features.scale = bits_MBPb, total

    def _preactivation(
        self, index: int, group: int, h: torch.Tensor, scale_h: torch.Tensor | None
    ) -> torch.Tensor:
        """The product ``z = s_w s_h sign(W) h + b`` of a group of output channels."""
        layer, grid = self._layers[index], self._grids[index]
        batch = len(h) if scale_h is None else h.shape[1]
        z_BPJ = torch.zeros(batch, grid.positions, grid.outputs)
        for column in range(grid.columns):
            packed_PJSb = layer.packed_NMPJSb[group, column]
            if scale_h is not None and self._kernel is Kernel.POPCOUNT:
                sizes = self._model.shape[2], grid.inputs
                add_binary_product(h[column], packed_PJSb, z_BPJ, *sizes)
                continue
            of = self._patches(index, h, column)
            positions = self._tiles(batch, index).product_positions
            for tile in in_tiles(grid.positions, positions):
                z_PBJ = z_BPJ[:, tile].transpose(0, 1)
                add_signed_product(of(tile), packed_PJSb[tile], z_PBJ)
        z_BPJ.mul_(layer.scale if scale_h is None else layer.scale * scale_h)
        return z_BPJ.add_(layer.bias_NPJ[group])

    def _patches(self, index: int, h: torch.Tensor, column: int) -> Callable[[slice], torch.Tensor]:
        """A function from a tile to its patches of a layer's input, in a group of its channels."""
        if index == 0:
            return real_patches(h, self._model.shape)
        return bit_patches(h[column], self._model.shape[1], self._grids[index].inputs)

    def _tiles(self, batch: int, index: int) -> Tiles:
        return choose_tiles(self._grids, index, self._active, batch, fused=self._fused)
