"""Binary tensors as packed bits, and products with them that never unpack a whole matrix.

Bit k of byte b of a row is column 8 b + k; rows are padded to whole bytes with zeros. The bits
are moved eight at a time: eight bools are eight bytes, which one 64-bit multiplication gathers
into one byte, and vice versa. A bit of a weight is 1 for +1 and 0 for -1; a bit of an activation is
1 for 1 and 0 for 0.

Shape suffixes: R rows, C columns, b bytes per row, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

_GATHER = 0x0102040810204080  # moves bit 0 of byte k to bit 56 + k
_SPREAD = 0x0101010101010101  # copies a byte to all eight
_SELECT = 0x8040201008040201 - (1 << 64)  # keeps bit k of byte k (as a signed number)


def packed_width(columns: int) -> int:
    """Bytes of a packed row."""
    return -(-columns // 8)


def pack_signs(values_RC: torch.Tensor, out_Rb: torch.Tensor, rows: int) -> None:
    """Write the bits of ``values >= 0`` into ``out``, ``rows`` rows at a time."""
    _pack(values_RC, out_Rb, rows, lambda values, bits: torch.ge(values, 0.0, out=bits))


def pack_positive(values_RC: torch.Tensor, out_Rb: torch.Tensor, rows: int) -> None:
    """Write the bits of ``values > 0`` into ``out``, ``rows`` rows at a time."""
    _pack(values_RC, out_Rb, rows, lambda values, bits: torch.gt(values, 0.0, out=bits))


def pack_open_unit(values_RC: torch.Tensor, out_Rb: torch.Tensor, rows: int) -> None:
    """Write the bits of ``0 < values < 1`` into ``out``, ``rows`` rows at a time."""
    pack_between(values_RC, 1.0, out_Rb, rows)


def pack_between(values_RC: torch.Tensor, top: float, out_Rb: torch.Tensor, rows: int) -> None:
    """Write the bits of ``0 < values < top`` into ``out``, ``rows`` rows at a time."""
    if top == math.inf:
        pack_positive(values_RC, out_Rb, rows)
        return

    def compare(values: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        torch.gt(values, 0.0, out=bits)
        return bits.logical_and_(tag(values < top, Category.WORKSPACE, "second comparison"))

    _pack(values_RC, out_Rb, rows, compare)


def _pack(
    values_RC: torch.Tensor,
    out_Rb: torch.Tensor,
    rows: int,
    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    columns = values_RC.shape[1]
    for part in in_tiles(len(values_RC), rows):
        bits = _bools(values_RC[part], columns)
        compare(values_RC[part], bits[:, :columns])
        _gather(bits, out_Rb[part])
        del bits  # otherwise two of them would be alive in the next iteration


def _bools(values_RC: torch.Tensor, columns: int) -> torch.Tensor:
    """Memory for one bool per column, padded to whole bytes of bits."""
    shape = (len(values_RC), 8 * packed_width(columns))
    return tag(torch.zeros(shape, dtype=torch.bool), Category.WORKSPACE, "bits not packed yet")


def _gather(bits: torch.Tensor, out_Rb: torch.Tensor) -> None:
    """Pack bools into bits, eight per byte; ``bits`` is overwritten."""
    wide = bits.view(torch.int64)
    out_Rb.copy_(wide.mul_(_GATHER).bitwise_right_shift_(56).bitwise_and_(255))


def unpack(packed_Rb: torch.Tensor, columns: int) -> torch.Tensor:
    """Packed bits to float32 zeros and ones of shape (R, columns)."""
    wide = tag(packed_Rb.to(torch.int64), Category.WORKSPACE, "bits on their way to bytes")
    wide.mul_(_SPREAD).bitwise_and_(_SELECT)
    ones = wide.view(torch.uint8).clamp_(max=1)[:, :columns]
    return tag(ones.to(torch.float32), Category.WORKSPACE, "unpacked tile")
