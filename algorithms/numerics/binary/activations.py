"""Binary activations and the straight-through gradient, for rules with otherwise float nets.

A weight is read as ``alpha sign(W)`` with ``alpha = mean(abs(W))`` over the whole matrix: products
are in :mod:`trainfit.algorithms.numerics.binary.weights`. A hidden activation is ``s 1[z > 0]``
with ``s = mean(abs(z))`` over the whole batch, which is the rectifier of ``s sign(z)``. Gradients
pass through both as if binarising were the identity, and are cut where the magnitude reaches 1::

    dW = d(alpha sign(W)) 1[abs(W) < 1]        dz = dh 1[0 < z < 1]

This is the binarisation of TinyFoA's released code (Huang & Aminifar, AAAI 2025), which applies it
also to the rules that the paper compares with.

Decisions: the sign of a weight of 0 is +1, since a bit has two values (0 in that code). As in that
code, an activation of z = 0 is 0 and passes no gradient, because of the rectifier, and the
straight-through gradient does not include the scale.

No float copy of a whole binary tensor is made: bits are unpacked a tile at a time.

Shape suffixes: B batch, O outputs of a layer, J outputs and K inputs of a slice of its weights,
M groups of columns, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trainfit.algorithms.numerics.binary.packing import (
    pack_open_unit,
    pack_positive,
    packed_width,
    unpack,
)
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.numerics.sums import sum_abs
from trainfit.algorithms.tiling import in_tiles

UNPACKED = 5
"""Bytes per bit during unpacking: four of float32, and one intermediate."""

_TILES = 16  # a tile is at most this fraction of its tensor, so that it never sets the peak
_MOST = 1 << 20  # bytes; beyond this a larger tile is no faster


def mean_abs(values: torch.Tensor) -> torch.Tensor:
    """Mean of magnitudes, a scalar, without a copy of ``values``, which is contiguous."""
    return sum_abs(values).mul_(1.0 / values.numel())


@operator("abs_of_others(Tensor values, Tensor part) -> float", on_meta=0.0)
def abs_of_others(values: torch.Tensor, part: torch.Tensor) -> float:
    """Sum of the magnitudes in ``values`` but not in ``part``; 0 on the meta device.

    Args:
        values: A whole tensor.
        part: A copy of some of it.
    """
    return float(values.abs().sum(dtype=torch.float64) - part.abs().sum(dtype=torch.float64))


def tile_extent(extent: int, bytes_each: int) -> int:
    """Number of the ``extent`` rows, of ``bytes_each`` bytes, that are processed at a time."""
    return max(1, min(-(-extent // _TILES), _MOST // bytes_each))


# ---- activations ----------------------------------------------------------------------------


@dataclass
class Bits:
    """The binary activations of one layer.

    Attributes:
        bits_MBb: Packed ``z > 0``, columns in groups as the next layer's weights have them.
        scale: ``s``, a scalar; or a factor per row, shape (B, 1).
        inside_Bb: Packed ``0 < z < 1``, where the gradient passes; empty if not needed.
        signed: Whether a bit of 0 stands for -1 instead
        (:mod:`trainfit.algorithms.numerics.binary.signed_activations`).
    """

    bits_MBb: torch.Tensor
    scale: torch.Tensor
    inside_Bb: torch.Tensor
    signed: bool = False


Hidden = torch.Tensor | Bits
"""Input of a layer: float32 of shape (B, I), or bits."""


def binarise(
    z_BO: torch.Tensor, groups: int = 1, *, mask: bool = True, scale: torch.Tensor | None = None
) -> Bits:
    """Pack the activations of a layer, and the mask of its gradient.

    Args:
        z_BO: Pre-activation; unchanged, to be freed by the caller.
        groups: M of the next layer's weights; divides O.
        mask: Whether a gradient will be propagated through the layer.
        scale: ``s``, if z has changed since s was computed.
    """
    batch, outputs = z_BO.shape
    width, rows = outputs // groups, tile_extent(batch, 2 * outputs)
    scale = mean_abs(z_BO) if scale is None else scale
    bits_MBb = torch.empty(groups, batch, packed_width(width), dtype=torch.uint8)
    for group in range(groups):
        pack_positive(z_BO[:, group * width : (group + 1) * width], bits_MBb[group], rows)
    inside_Bb = torch.empty(batch if mask else 0, packed_width(outputs), dtype=torch.uint8)
    if mask:
        pack_open_unit(z_BO, inside_Bb, rows)
    return Bits(bits_MBb, scale, inside_Bb)


def bit_tiles(columns: int, batch: int) -> Iterator[slice]:
    """The columns of packed bits that are unpacked at a time, in whole bytes."""
    return in_tiles(columns, _bit_tile(columns, batch))


def _bit_tile(columns: int, batch: int) -> int:
    return 8 * -(-tile_extent(columns, UNPACKED * batch) // 8)


def unpack_tile(h: Bits, group: int, columns: slice) -> torch.Tensor:
    """Zeros and ones, or signs, of one of the ``bit_tiles`` of a group."""
    start, stop = columns.start, columns.stop
    tile = unpack(h.bits_MBb[group, :, start // 8 : packed_width(stop)], stop - start)
    return torch.threshold_(tile, 0.5, -1.0) if h.signed else tile


# ---- the straight-through gradient ----------------------------------------------------------


def ste_backward_(dh_BO: torch.Tensor, h: Hidden) -> torch.Tensor:
    """Turn the gradient of a layer's activations into that of its pre-activation, in place.

    Args:
        dh_BO: float32, overwritten with the result.
        h: The activations, with their mask if they are bits; a rectifier's if float.
    """
    if isinstance(h, torch.Tensor):
        torch.ops.aten.threshold_backward.grad_input(dh_BO, h, 0, grad_input=dh_BO)
        return dh_BO
    return mask_(dh_BO, h.inside_Bb)


def mask_(dh_BO: torch.Tensor, inside_Bb: torch.Tensor) -> torch.Tensor:
    """Set a gradient to 0 where a packed bit is 0, in place."""
    batch, outputs = dh_BO.shape
    rows = tile_extent(batch, UNPACKED * outputs)
    for part in in_tiles(batch, rows):
        dh_BO[part] *= unpack(inside_Bb[part], outputs)
    return dh_BO


def weight_gradient(dz_BJ: torch.Tensor, h: Hidden, group: int, width: int) -> torch.Tensor:
    """``dz^T h`` of shape (J, K), before any cut.

    Args:
        dz_BJ: Gradient of the pre-activation, or a view of some of its outputs; overwritten.
        h: Input of the layer.
        group: Which group of K inputs.
        width: K.
    """
    dw_JK = torch.empty(dz_BJ.shape[1], width)
    if isinstance(h, torch.Tensor):
        h_BK = h[:, group * width : (group + 1) * width]
        return torch.mm(dz_BJ.T, h_BK, out=dw_JK)
    dz_BJ *= h.scale
    for columns in bit_tiles(width, len(dz_BJ)):
        h_BK = unpack_tile(h, group, columns)
        torch.mm(dz_BJ.T, h_BK, out=dw_JK[:, columns])
        del h_BK  # otherwise two of them would be alive in the next iteration
    return dw_JK


def ste_clip_(dw_JK: torch.Tensor, latent_JK: torch.Tensor) -> torch.Tensor:
    """Set the gradient to 0 where the latent weight's magnitude is 1 or more, in place."""
    torch.ops.aten.hardtanh_backward.grad_input(dw_JK, latent_JK, -1.0, 1.0, grad_input=dw_JK)
    return dw_JK
