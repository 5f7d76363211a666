"""Products with the signs of weights, read from latent weights or from packed bits.

For a float operand and signs, ``sum_k sign(w_k) h_k = 2 sum_k 1[w_k >= 0] h_k - sum_k h_k``, so
tiles of zeros and ones suffice; for bits and signs, the population count of both.

Shape suffixes: B batch, O outputs and I = M K inputs of a layer, M groups of K columns, R rows of a
tile, b bytes of packed bits.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.numerics.binary.activations import (
    UNPACKED,
    Bits,
    Hidden,
    mean_abs,
    tile_extent,
)
from trainfit.algorithms.numerics.binary.bit_products import (
    add_binary_product,
    add_sign_product,
)
from trainfit.algorithms.numerics.binary.packing import (
    pack_signs,
    packed_width,
    unpack,
)
from trainfit.algorithms.numerics.binary.weights import Weights
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles


class _SignWeights(Weights):
    """Signs, from latent weights or packed bits."""

    binary = True
    _tile_bytes: int  # per element of a tile while it is computed

    @abstractmethod
    def _tile(self, group: int, rows: slice) -> torch.Tensor:
        """Bits of ``W >= 0`` of some rows as float32 zeros and ones, shape (R, K)."""

    @abstractmethod
    def _packed(self, group: int) -> torch.Tensor:
        """Packed bits of ``W >= 0``, shape (O, b)."""

    def _part_rows(self) -> int:
        return tile_extent(self.outputs, self._tile_bytes * self.width)

    def _parts(self) -> Iterator[slice]:
        return in_tiles(self.outputs, self._part_rows())

    def add_product(self, h: Hidden, z_BO: torch.Tensor) -> None:
        """Population counts for bits; for floats ``sum sign(w) h = 2 sum bit h - sum h``."""
        if isinstance(h, Bits):
            for group in range(self.groups):
                add = add_sign_product if h.signed else add_binary_product
                add(h.bits_MBb[group], self._packed(group), z_BO, self.width)
            return
        z_BO -= _row_sums(h)
        for group in range(self.groups):
            for rows in self._parts():
                bits_RK = self._tile(group, rows)
                z_BO[:, rows].addmm_(h[:, self.columns(group)], bits_RK.T, alpha=2.0)
                del bits_RK

    def add_transposed(self, dz_BO: torch.Tensor, dh_BI: torch.Tensor) -> None:
        """The same sum over rows instead of columns."""
        dh_BI -= _row_sums(dz_BO)
        for group in range(self.groups):
            for rows in self._parts():
                bits_RK = self._tile(group, rows)
                dh_BI[:, self.columns(group)].addmm_(dz_BO[:, rows], bits_RK, alpha=2.0)
                del bits_RK


class LatentSigns(_SignWeights):
    """Signs and scale derived from latent float weights each time they are read."""

    _tile_bytes = 4

    def __init__(self, latent_MOK: torch.Tensor) -> None:
        super().__init__(*latent_MOK.shape)
        self._latent_MOK = latent_MOK

    def scale(self) -> torch.Tensor:
        """Mean of magnitudes."""
        return mean_abs(self._latent_MOK)

    def _tile(self, group: int, rows: slice) -> torch.Tensor:
        latent_RK = self._latent_MOK[group, rows]
        bits_RK = tag(torch.empty_like(latent_RK), Category.WORKSPACE, "tile of signs")
        return torch.ge(latent_RK, 0.0, out=bits_RK)

    def _packed(self, group: int) -> torch.Tensor:
        shape = (self.outputs, packed_width(self.width))
        packed_Ob = tag(torch.empty(shape, dtype=torch.uint8), Category.WORKSPACE, "packed signs")
        pack_signs(self._latent_MOK[group], packed_Ob, self._pack_rows())
        return packed_Ob

    def _pack_rows(self) -> int:
        return tile_extent(self.outputs, self.width)


class PackedSigns(_SignWeights):
    """Signs kept as packed bits, together with their scale."""

    _tile_bytes = UNPACKED

    def __init__(self, packed_MOb: torch.Tensor, scale: torch.Tensor, width: int) -> None:
        super().__init__(packed_MOb.shape[0], packed_MOb.shape[1], width)
        self.packed_MOb = packed_MOb
        self._scale = scale

    def scale(self) -> torch.Tensor:
        """The scale as last written."""
        return self._scale

    def _tile(self, group: int, rows: slice) -> torch.Tensor:
        return unpack(self.packed_MOb[group, rows], self.width)

    def _packed(self, group: int) -> torch.Tensor:
        return self.packed_MOb[group]


def _row_sums(values: torch.Tensor) -> torch.Tensor:
    return tag(values.sum(1, keepdim=True), Category.WORKSPACE, "row sums")
