"""A layer with binary weights: the operands of its products, and the part that is trained.

A hidden layer's weights lie in M groups of columns, so that slice (i, j) of the M x M grid (outputs
i, inputs j) is contiguous; without slices M = 1 and the slice is all of it. With M > 1 and binary
weights RAM holds packed signs, one scale and the latent values of the active slice; the latent
weights of all slices are in storage, and the active slice is written back when the next one starts.
``packed`` asks for the same with M = 1. A rule that trains one layer at a time leaves the others:
no slice of theirs is active.

Shape suffixes: O outputs and I inputs of a layer, J outputs and K inputs of a slice, M slices per
side, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.numerics.binary.activations import (
    abs_of_others,
    tile_extent,
)
from trainfit.algorithms.numerics.binary.packing import pack_signs, packed_width
from trainfit.algorithms.numerics.binary.sign_weights import LatentSigns, PackedSigns
from trainfit.algorithms.numerics.binary.weights import FloatWeights, Weights
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.numerics.sums import sum_abs
from trainfit.algorithms.phases import Category


class BinaryLayer:
    """One layer.

    Attributes:
        number: From 1, the classifier last.
        weights: Operands of products.
        group: Column j of the active slice in the grid.
        rows: Outputs of the active slice.
        weight_JK: The active slice, trained in place.
        bias_O: All biases.
    """

    def __init__(
        self,
        number: int,
        w_OI: torch.Tensor,
        bias_O: torch.Tensor,
        *,
        groups: int,
        binary: bool,
        packed: bool = False,
    ) -> None:
        self.number = number
        self.bias_O = bias_O
        self._groups = groups
        self._in_storage = binary and (groups > 1 or packed)
        outputs, inputs = w_OI.shape
        self._latent_MOK = w_OI.view(outputs, groups, inputs // groups).transpose(0, 1).contiguous()
        self.weights = self._new_weights(binary=binary)
        self._choose(0, 0)

    def _new_weights(self, *, binary: bool) -> Weights:
        if not self._in_storage:
            return LatentSigns(self._latent_MOK) if binary else FloatWeights(self._latent_MOK)
        groups, outputs, width = self._latent_MOK.shape
        packed_MOb = torch.empty(groups, outputs, packed_width(width), dtype=torch.uint8)
        for latent_OK, packed_Ob in zip(self._latent_MOK, packed_MOb, strict=True):
            pack_signs(latent_OK, packed_Ob, outputs)
        return PackedSigns(packed_MOb, self._latent_MOK.abs().mean(), width)

    # ---- slices -----------------------------------------------------------------------------

    def enter_slice(self, row: int, column: int) -> None:
        """Write the active slice back, train slice (row, column) from now on."""
        self._put_back()
        self._choose(row, column)

    def leave(self) -> None:
        """Write the active slice back; no weight and no bias is active from now on."""
        self._put_back()
        self._activate(0, slice(0, 0))

    def _put_back(self) -> None:
        if self._in_storage:
            self._latent_MOK[self.group, self.rows] = self.weight_JK

    def _choose(self, row: int, column: int) -> None:
        height = len(self.bias_O) // self._groups
        self._activate(column, slice(row * height, (row + 1) * height))

    def _activate(self, group: int, rows: slice) -> None:
        self.group, self.rows = group, rows
        self.weight_JK = self._latent_MOK[group, rows]
        if self._in_storage:
            self.weight_JK = self.weight_JK.clone()
            # The other slices' contribution to the layer's scale, which does not change.
            self._others = abs_of_others(self._latent_MOK, self.weight_JK)

    @property
    def bias(self) -> torch.Tensor:
        """View of the biases that are trained."""
        return self.bias_O[self.rows]

    def block(self, index: int, slices: int) -> torch.Tensor:
        """View of diagonal block ``index`` of a dense layer."""
        height, width = (extent // slices for extent in self.weight_JK.shape)
        row, column = index * height, index * width
        return self.weight_JK[row : row + height, column : column + width]

    # ---- after an update --------------------------------------------------------------------

    def clip(self) -> None:
        """Clip weights and biases to [-1, 1], in place; update signs and scale."""
        self.weight_JK.clamp_(-1, 1)
        self.bias.clamp_(-1, 1)
        if isinstance(self.weights, PackedSigns):
            packed_Jb = self.weights.packed_MOb[self.group, self.rows]
            pack_signs(self.weight_JK, packed_Jb, self._pack_rows())
            total = sum_abs(self.weight_JK).add_(self._others)
            self.weights.scale().copy_(total.mul_(1.0 / self._latent_MOK.numel()))

    def _pack_rows(self) -> int:
        height, width = self.weight_JK.shape
        return tile_extent(height, width)

    # ---- what is kept -----------------------------------------------------------------------

    def add_to(self, optimiser: Optimiser) -> None:
        """Allocate the optimiser state of the trained parameters."""
        optimiser.add(f"w{self.number}", self.weight_JK)
        optimiser.add(f"b{self.number}", self.bias)

    def static_tensors(self) -> Iterator[StaticTensor]:
        """Weights and biases."""
        parameters, number = Category.PARAMETERS, self.number
        if isinstance(self.weights, PackedSigns):
            yield StaticTensor(f"latent{number}", self._latent_MOK, parameters, storage=True)
            yield StaticTensor(f"packed{number}", self.weights.packed_MOb, parameters)
            yield StaticTensor(f"scale{number}", self.weights.scale(), parameters)
            yield StaticTensor(f"slice{number}", self.weight_JK, parameters)
        else:
            yield StaticTensor(f"w{number}", self._latent_MOK, parameters)
        yield StaticTensor(f"b{number}", self.bias_O, parameters)
