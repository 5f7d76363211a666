"""TinyFoA on locally connected nets as its authors' released code trains it.

Parts that do not depend on the architecture are in
:mod:`trainfit.algorithms.tinyfoa.released.rule`. A layer is its product with binarised weights and
a bias per position and channel, batch normalisation, the rectifier, then binarisation. Weights and
biases are initialised from a normal distribution. The diagonal block that is restored is one of
output and input channels, in the first layer of output channels only. Biases, gains and shifts are
never restored. Layers below the active one normalise by the batch, and their running statistics
keep changing, since the whole net is in training mode.

The product differs from that code, which allocates a value per sample, output, input and neighbour,
15 GB at its largest. Here patches of some positions exist at a time, at most as many values as
their map has. The second rectifier of that code, on values that are not negative, is left out. At
layer 2 in batches of 10 their step on MNIST was measured to need 183,143,460 B at its peak
(:mod:`trainfit.algorithms.tinyfoa.released.rule` says how), this one needs 47,065,356 B.
Statistics and the gradients of gain and shift are torch's, over rows, which are added in float32:
they are 1e-5 off over 78,400 rows (a batch of 100 maps of 28 x 28). In that code they are summed
map by map, and 1e-7 off.

Shape suffixes: B batch, R rows (samples and positions), P positions, I inputs and O outputs of a
layer, K inputs at one position, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.models.locally_connected import WINDOW
from trainfit.algorithms.models.mlp import linear_init
from trainfit.algorithms.numerics.batch_norm import EPSILON, MOMENTUM, check_rows
from trainfit.algorithms.numerics.locally_connected import patches, weight_gradient
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.tinyfoa.grid import make_grids
from trainfit.algorithms.tinyfoa.released.rule import ReleasedRule, binarise
from trainfit.algorithms.tinyfoa.variant import AdamSettings


def tile_positions(shape: Sequence[int]) -> int:
    """Positions whose patches exist at a time: at most as many values as the map has.

    Args:
        shape: Shape of the layer's weights, (P, O, K).
    """
    positions, outputs, inner = shape
    return max(1, positions * outputs // inner)


class LocalProduct(torch.autograd.Function):
    """``z[b, p] = w[p] patch(h)[b, p]`` with a gradient for the weights only."""

    @staticmethod
    def forward(ctx: Any, h_BHWI: torch.Tensor, w_POK: torch.Tensor) -> torch.Tensor:
        """Shape (B, P, O)."""
        ctx.save_for_backward(h_BHWI)
        ctx.weight_shape = w_POK.shape
        z_BPO = h_BHWI.new_zeros(len(h_BHWI), *w_POK.shape[:2])
        for tile in in_tiles(len(w_POK), tile_positions(w_POK.shape)):
            z_PBO = z_BPO[:, tile].transpose(0, 1)
            z_PBO.baddbmm_(patches(h_BHWI, tile).flatten(2), w_POK[tile].transpose(1, 2))
        return z_BPO

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        """Gradient of the weights, a product per position."""
        (h_BHWI,) = ctx.saved_tensors
        (dz_BPO,) = gradients
        dw_POK = dz_BPO.new_empty(ctx.weight_shape)
        for tile in in_tiles(len(dw_POK), tile_positions(ctx.weight_shape)):
            weight_gradient(dz_BPO, patches(h_BHWI, tile).flatten(2), tile, dw_POK[tile])
        return None, dw_POK


class LcReleased(ReleasedRule):
    """Dense training of one binarised locally connected layer."""

    def __init__(
        self, model: LocallyConnected, slices: int, adam: AdamSettings, generator: torch.Generator
    ) -> None:
        super().__init__(slices, adam)
        self._model = model
        make_grids(model, slices)  # for its check of the sizes
        positions = model.positions
        for inputs, outputs in model.layers:
            trained = {
                "w": torch.randn(positions, outputs, WINDOW * inputs, generator=generator),
                "b": torch.randn(positions, outputs, generator=generator),
                "gain": torch.ones(outputs),
                "shift": torch.zeros(outputs),
            }
            self._layers.append({name: each.requires_grad_() for name, each in trained.items()})
            head_CI, head_bias_C = linear_init(positions * outputs, model.classes, generator)
            self._fixed.append(
                {
                    "mean": torch.zeros(outputs),
                    "variance": torch.ones(outputs),
                    "head": head_CI,
                    "head_bias": head_bias_C,
                }
            )

    def check_batch(self, batch_size: int) -> None:
        """Refuse a batch without variance."""
        check_rows(batch_size, self._model.positions)

    def _block_view(self, w: torch.Tensor) -> torch.Tensor:
        cut, block = self._slices, self._block
        positions, outputs, inner = w.shape
        if self._active == 0:
            return w.view(positions, cut, outputs // cut, inner)[:, block]
        inputs = inner // WINDOW // cut
        split = w.view(positions, cut, outputs // cut, WINDOW, cut, inputs)
        return split[:, block, :, :, block]

    def _layer(self, h: torch.Tensor, index: int, *, training: bool) -> torch.Tensor:
        """Binary output, shape (B, H, W, O); the input may be the batch, shape (B, I)."""
        layer, fixed = self._layers[index], self._fixed[index]
        channels, height, width = self._model.shape
        if index == 0:
            h = h.view(len(h), channels, height, width).permute(0, 2, 3, 1)
        z_BPO: torch.Tensor = LocalProduct.apply(h, binarise(layer["w"]))  # type: ignore[no-untyped-call]
        z_BPO += layer["b"]
        u_RO = functional.batch_norm(
            z_BPO.view(-1, z_BPO.shape[2]),
            fixed["mean"],
            fixed["variance"],
            layer["gain"],
            layer["shift"],
            training=training,
            momentum=MOMENTUM,
            eps=EPSILON,
        )
        del z_BPO
        u_RO = torch.relu(u_RO)
        return binarise(u_RO).view(len(h), height, width, -1)

    def _head(self, h: torch.Tensor) -> torch.Tensor:
        fixed = self._fixed[self._active]
        return functional.linear(h.flatten(1), fixed["head"], fixed["head_bias"])
