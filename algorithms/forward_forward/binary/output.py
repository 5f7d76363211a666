"""The output of a layer of binarised Forward-Forward: bits and a number per row, or floats.

Activations are ``s 1[z > 0]`` with one ``s = mean(abs(z))`` for all rows of the pass, and pass
their gradient where ``0 < z < 1`` (:mod:`trainfit.algorithms.numerics.binary.activations`). For row
r, which has n_r bits set, every quantity follows from bits and one number::

    goodness                 s^2 n_r
    with a mean square of 1  sqrt(O / n_r) 1[z > 0]
    dL/dz                    dL/dG 2 s 1[0 < z < 1]

A row without any bit stays zero: as a divisor, n_r counts as 1.

Float activations, which go with binary weights, are those of
:mod:`trainfit.algorithms.forward_forward.objective`.

Shape suffixes: R rows of a pass, B rows of its first half, O units of the layer, J units of a tile,
b bytes of packed bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.forward_forward.objective import Objective, normalise_
from trainfit.algorithms.numerics.binary.activations import (
    UNPACKED,
    Bits,
    Hidden,
    binarise,
    bit_tiles,
    tile_extent,
    unpack_tile,
)
from trainfit.algorithms.numerics.binary.bit_products import add_binary_product
from trainfit.algorithms.numerics.binary.packing import packed_width, unpack
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles


def unit_tiles(rows: int, inputs: int, outputs: int, *, bits: bool) -> Iterator[slice]:
    """The units of a layer whose gradient is computed at a time."""
    return in_tiles(outputs, unit_tile(rows, inputs, outputs, bits=bits))


def unit_tile(rows: int, inputs: int, outputs: int, *, bits: bool) -> int:
    """Units of a tile, a multiple of eight; the last tile may be smaller.

    If activations are bits, a tile's gradients of z and of the weights take no more than the memory
    freed by z; float activations stay alive, so tiles have to be small.
    """
    each = 4 * (inputs + rows)
    step = tile_extent(outputs, each)
    if bits:
        below = UNPACKED * rows * tile_extent(inputs, UNPACKED * rows)
        step = (4 * rows * outputs - below) // each
    return 8 * max(1, step // 8)


class BinaryOutput(ABC):
    """A layer's activations for the rows of a pass, and the derivative of its goodness."""

    @abstractmethod
    def squares(self) -> torch.Tensor:
        """Sum of squares per row, a new tensor of shape (R,)."""

    @abstractmethod
    def factors(self, objective: Objective, batch: int, positive: bool | None) -> torch.Tensor:
        """Factors that turn the rows of ``gradient`` into dL/dz, shape (R,)."""

    @abstractmethod
    def mean(self, batch: int) -> torch.Tensor:
        """Mean activity of every unit on the first rows, shape (O,)."""

    @abstractmethod
    def gradient(self, units: slice, factor_R: torch.Tensor) -> torch.Tensor:
        """dL/dz of some units, shape (R, J)."""

    @abstractmethod
    def normalised(self) -> Hidden:
        """The activations with rows scaled to a mean square of 1; consumes the output."""


class FloatOutput(BinaryOutput):
    """Rectified floats.

    Args:
        z_RO: Pre-activation, overwritten.
    """

    def __init__(self, z_RO: torch.Tensor) -> None:
        self._z_RO = z_RO.relu_()
        self._length_R: torch.Tensor = torch.linalg.vector_norm(z_RO, dim=1)

    def squares(self) -> torch.Tensor:
        """Sums of squared floats."""
        squares_R: torch.Tensor = self._length_R.square()
        return squares_R

    def factors(self, objective: Objective, batch: int, positive: bool | None) -> torch.Tensor:
        """The objective's."""
        return objective.factors_(self.squares(), self._z_RO.shape[1], batch, positive)

    def mean(self, batch: int) -> torch.Tensor:
        """Over rows."""
        return self._z_RO[:batch].mean(0)

    def gradient(self, units: slice, factor_R: torch.Tensor) -> torch.Tensor:
        """``factor z``."""
        return self._z_RO[:, units] * factor_R[:, None]

    def normalised(self) -> Hidden:
        """In place."""
        return normalise_(self._z_RO, self._length_R)


class BitOutput(BinaryOutput):
    """Bits, and the number of bits set per row.

    Args:
        z_RO: Pre-activation; unchanged, to be freed by the caller.
        mask: Whether the gradient will be needed.
    """

    def __init__(self, z_RO: torch.Tensor, *, mask: bool) -> None:
        self._outputs = z_RO.shape[1]
        self._bits = binarise(z_RO, mask=mask)
        self._count_R1 = torch.zeros(len(z_RO), 1)
        all_1b = torch.full((1, packed_width(self._outputs)), 255, dtype=torch.uint8)
        tag(all_1b, Category.WORKSPACE, "all bits")
        # Weights of 1 throughout: the product is the sum of the row.
        add_binary_product(self._bits.bits_MBb[0], all_1b, self._count_R1, self._outputs)

    def squares(self) -> torch.Tensor:
        """``s^2 n``."""
        scale = self._bits.scale
        return (self._count_R1[:, 0] * scale).mul_(scale)

    def factors(self, objective: Objective, batch: int, positive: bool | None) -> torch.Tensor:
        """The objective's, times s."""
        factor_R = objective.factors_(self.squares(), self._outputs, batch, positive)
        return factor_R.mul_(self._bits.scale)

    def mean(self, batch: int) -> torch.Tensor:
        """Over rows, a tile of units at a time."""
        mean_O = torch.empty(self._outputs)
        for units in bit_tiles(self._outputs, len(self._count_R1)):
            bits_RJ = unpack_tile(self._bits, 0, units)
            torch.mean(bits_RJ[:batch], 0, out=mean_O[units])
            del bits_RJ
        return mean_O.mul_(self._bits.scale)

    def gradient(self, units: slice, factor_R: torch.Tensor) -> torch.Tensor:
        """``factor 1[0 < z < 1]``."""
        inside_Rb = self._bits.inside_Bb[:, units.start // 8 : packed_width(units.stop)]
        return unpack(inside_Rb, units.stop - units.start).mul_(factor_R[:, None])

    def normalised(self) -> Hidden:
        """Bits with a factor per row; the mask of the gradient is dropped."""
        factor_R1 = self._count_R1.clamp_(min=1).rsqrt_().mul_(self._outputs**0.5)
        return Bits(self._bits.bits_MBb, factor_R1, torch.empty(0, dtype=torch.uint8))
