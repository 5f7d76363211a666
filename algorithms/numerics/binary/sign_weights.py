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

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.numerics.binary.activations import (
    UNPACKED,
    Bits,
    Hidden,
    mean_abs,
    plan_mean_abs,
    tile_extent,
)
from trainfit.algorithms.numerics.binary.bit_products import (
    add_binary_product,
    add_sign_product,
)
from trainfit.algorithms.numerics.binary.packing import (
    pack_signs,
    packed_width,
    plan_pack,
    plan_unpack,
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
    def _plan_tile(self, plan: MemoryPlan, rows: int) -> Item:
        """The closed form of ``_tile``; the caller frees the result."""

    @abstractmethod
    def _packed(self, group: int) -> torch.Tensor:
        """Packed bits of ``W >= 0``, shape (O, b)."""

    @abstractmethod
    def _plan_packed(self, plan: MemoryPlan) -> list[Item]:
        """The closed form of ``_packed``; the caller frees the result."""

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

    def plan_product(self, plan: MemoryPlan, batch: int, *, bits: bool) -> None:
        """Packed bits, or tiles of unpacked ones."""
        number_format = NumberFormat.BINARY if bits else NumberFormat.FP32_BINARY
        plan.product(batch, self.inputs, self.outputs, number_format)
        if bits:
            for _ in range(self.groups):
                plan.free(*self._plan_packed(plan))
            return
        plan.workspace("row sums", (batch, 1))
        self._plan_tiles(plan)

    def add_transposed(self, dz_BO: torch.Tensor, dh_BI: torch.Tensor) -> None:
        """The same sum over rows instead of columns."""
        dh_BI -= _row_sums(dz_BO)
        for group in range(self.groups):
            for rows in self._parts():
                bits_RK = self._tile(group, rows)
                dh_BI[:, self.columns(group)].addmm_(dz_BO[:, rows], bits_RK, alpha=2.0)
                del bits_RK

    def plan_transposed(self, plan: MemoryPlan, batch: int) -> None:
        """Tiles of unpacked bits."""
        plan.product(batch, self.outputs, self.inputs, NumberFormat.FP32_BINARY)
        plan.workspace("row sums", (batch, 1))
        self._plan_tiles(plan)

    def _plan_tiles(self, plan: MemoryPlan) -> None:
        for _ in range(self.groups):
            for rows in plan.tiles(self.outputs, self._part_rows()):
                plan.free(self._plan_tile(plan, rows))


class LatentSigns(_SignWeights):
    """Signs and scale derived from latent float weights each time they are read."""

    _tile_bytes = 4

    def __init__(self, latent_MOK: torch.Tensor) -> None:
        super().__init__(*latent_MOK.shape)
        self._latent_MOK = latent_MOK

    def scale(self) -> torch.Tensor:
        """Mean of magnitudes."""
        return mean_abs(self._latent_MOK)

    def plan_scale(self, plan: MemoryPlan) -> list[Item]:
        """One scalar; the signs are found in the same pass."""
        elements = self._latent_MOK.numel()
        plan.each(Kind.COMPARE, elements)
        return [plan_mean_abs(plan, elements)]

    def _tile(self, group: int, rows: slice) -> torch.Tensor:
        latent_RK = self._latent_MOK[group, rows]
        bits_RK = tag(torch.empty_like(latent_RK), Category.WORKSPACE, "tile of signs")
        return torch.ge(latent_RK, 0.0, out=bits_RK)

    def _plan_tile(self, plan: MemoryPlan, rows: int) -> Item:
        shape = (rows, self.width)
        tile = plan.alloc("tile of signs", shape, Category.WORKSPACE, essential=False)
        plan.scalar()
        return tile

    def _packed(self, group: int) -> torch.Tensor:
        shape = (self.outputs, packed_width(self.width))
        packed_Ob = tag(torch.empty(shape, dtype=torch.uint8), Category.WORKSPACE, "packed signs")
        pack_signs(self._latent_MOK[group], packed_Ob, self._pack_rows())
        return packed_Ob

    def _plan_packed(self, plan: MemoryPlan) -> list[Item]:
        shape = (self.outputs, self.width)
        packed = plan.alloc("packed signs", shape, Category.WORKSPACE, bits=1, essential=False)
        plan_pack(plan, self.outputs, self.width, self._pack_rows(), comparisons=1)
        return [packed]

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

    def _plan_tile(self, plan: MemoryPlan, rows: int) -> Item:
        return plan_unpack(plan, rows, self.width)

    def _packed(self, group: int) -> torch.Tensor:
        return self.packed_MOb[group]

    def _plan_packed(self, plan: MemoryPlan) -> list[Item]:
        return []


def _row_sums(values: torch.Tensor) -> torch.Tensor:
    return tag(values.sum(1, keepdim=True), Category.WORKSPACE, "row sums")
