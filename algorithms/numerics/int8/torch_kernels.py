"""Rounding to INT8 and INT8 products in plain torch, a tile at a time.

For machines without numba's compiler, and as an independent check: it gives the same bits. A
tile at a time, since every tile is workspace.

Shape suffixes: R rows, C columns, T rows of a tile, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

_TILE = 16384
"""Elements of a tile; if rows are longer, a tile is one row."""


def tile_rows(rows: int, columns: int) -> int:
    """Rows that are processed at once."""
    return min(rows, max(1, _TILE // max(columns, 1)))


def _signed(word: int) -> int:
    """The signed 32-bit number with the bits of ``word``: torch has no unsigned arithmetic."""
    return word - (1 << 32) if word >> 31 else word


def _shift_xor(x: torch.Tensor, by: int, scratch: torch.Tensor) -> None:
    """``x ^= x >> by`` as if x were unsigned."""
    torch.bitwise_right_shift(x, by, out=scratch)
    x.bitwise_xor_(scratch.bitwise_and_((1 << (32 - by)) - 1))


def add_uniform_(
    value_TC: torch.Tensor, start: int, low: int, high: int, scratch: torch.Tensor
) -> None:
    """Add to every element its pseudo-random number; the first one has index ``start``.

    ``scratch`` is int32 and of the same shape.
    """
    x = torch.arange(start, start + value_TC.numel(), dtype=torch.int32).view(value_TC.shape)
    tag(x, Category.WORKSPACE, "random bits")
    x.add_(_signed(low))
    _shift_xor(x, 16, scratch)
    x.mul_(_signed(0x7FEB352D))
    _shift_xor(x, 15, scratch)
    x.bitwise_xor_(_signed(high))
    x.mul_(_signed(0x846CA68B))
    x.bitwise_right_shift_(16).bitwise_and_(0xFFFF)
    u = scratch.view(torch.float32)
    u.copy_(x)
    u.mul_(2.0**-16).add_(2.0**-17)
    value_TC.add_(u)


_NUMBERS_OF_UNIFORM = 12


def quantise_rows(
    t_RC: torch.Tensor,
    q_RC: torch.Tensor,
    inverse: torch.Tensor,
    axis: int,
    *,
    stochastic: bool,
    low: int,
    high: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.rounding_kernels.quantise_rows`."""
    rows, columns = t_RC.shape
    height = tile_rows(rows, columns)
    room = tag(torch.empty(height, columns), Category.WORKSPACE, "tile")
    scratch = None
    if stochastic:
        scratch = tag(torch.empty(height, columns, dtype=torch.int32), Category.WORKSPACE, "tile")
    for part in in_tiles(rows, height):
        tile = room[: part.stop - part.start]
        factor = inverse[part, None] if axis == 0 else inverse
        torch.mul(t_RC[part], factor, out=tile)
        if scratch is not None:
            add_uniform_(tile, part.start * columns, low, high, scratch[: len(tile)])
            tile.floor_()
        else:
            tile.round_()
        q_RC[part].copy_(tile.clamp_(-127, 127))


# ---- products: exact in float64 -------------------------------------------------------------


def linear(h_BI: torch.Tensor, w_OI: torch.Tensor, z_BO: torch.Tensor) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.product_kernels.linear`."""
    product(h_BI, w_OI.T, z_BO)


def through(d_BO: torch.Tensor, w_OI: torch.Tensor, dh_BI: torch.Tensor) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.product_kernels.through`."""
    product(d_BO, w_OI, dh_BI)


def outer(d_BO: torch.Tensor, h_BI: torch.Tensor, g_OI: torch.Tensor) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.product_kernels.outer`."""
    product(d_BO.T, h_BI, g_OI)


def product(left_RK: torch.Tensor, right_KC: torch.Tensor, out_RC: torch.Tensor) -> None:
    """Any INT8 product with INT32 sums, a tile of rows times a tile of columns at a time."""
    rows, inner = left_RK.shape
    columns = right_KC.shape[1]
    height, width = tile_rows(rows, inner), tile_rows(columns, inner)
    left = tag(torch.empty(height, inner, dtype=torch.float64), Category.WORKSPACE, "left tile")
    right = tag(torch.empty(inner, width, dtype=torch.float64), Category.WORKSPACE, "right tile")
    tile = tag(torch.empty(height * width, dtype=torch.float64), Category.WORKSPACE, "tile")
    for some in in_tiles(rows, height):
        a = left[: some.stop - some.start]
        a.copy_(left_RK[some])
        for others in in_tiles(columns, width):
            b = right[:, : others.stop - others.start]
            b.copy_(right_KC[:, others])
            c = tile[: len(a) * b.shape[1]].view(len(a), -1)
            torch.mm(a, b, out=c)
            out_RC[some, others].copy_(c)
