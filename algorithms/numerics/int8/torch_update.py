"""The arithmetic of the module ``update_kernels`` in plain torch, bit for bit.

A tile of rows at a time, since a tile is workspace.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, T rows of a tile.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.int8.blocks import DOUBLINGS
from trainfit.algorithms.numerics.int8.tiles import (
    LEVELS,
    SMALLEST,
    Chance,
    extent,
    floats_,
    parts_of,
    round_,
    tile,
)
from trainfit.algorithms.numerics.int8.torch_kernels import (
    product,
)
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

HALF = 63


def update_int8(  # noqa: PLR0917
    w_OI: torch.Tensor,
    ws_O: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    step: float,
    chance: Chance,
) -> None:
    """``ws w += step d^T h``, rounded stochastically; ws doubles or halves if its row needs it."""
    g_TI, w_TI = tile(w_OI, torch.int32), tile(w_OI)
    for part in parts_of(w_OI):
        rows = part.stop - part.start
        product(d_BO[:, part].T, h_BI, g_TI[:rows])
        moved, old = floats_(g_TI[:rows]), w_TI[:rows]
        rate_T = tag(torch.full((rows,), step), Category.WORKSPACE, "rates").div_(ws_O[part])
        moved.mul_(rate_T[:, None]).add_(old.copy_(w_OI[part]))
        del rate_T
        factor_T = _factors(extent(moved))
        moved.mul_(factor_T[:, None])
        ws_O[part].div_(factor_T)
        del factor_T
        round_(moved, w_OI[part], part.start * w_OI.shape[1], chance, w_TI.view(torch.int32))


def _factors(most_T: torch.Tensor) -> torch.Tensor:
    """Factor for each row of weights, so that it fits; ``most`` is overwritten."""
    factor_T = tag(torch.ones_like(most_T), Category.WORKSPACE, "factors")
    scratch_T = tag(torch.empty_like(most_T), Category.WORKSPACE, "factors")
    fits_T = tag((most_T <= HALF).logical_and_(most_T > 0), Category.WORKSPACE, "fits twice")
    for _ in in_tiles(DOUBLINGS, 1):
        torch.mul(most_T, factor_T, out=scratch_T)
        factor_T.mul_(scratch_T.gt_(LEVELS).mul_(-0.5).add_(1.0))
    return factor_T.masked_fill_(fits_T, 2.0)


def move_int8(  # noqa: PLR0917
    w_OI: torch.Tensor,
    ws_1: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    factor: float,
    rate: float,
    chance: Chance,
) -> None:
    """``ws w += rate factor d^T h`` with one scale, the largest magnitude being its range."""
    g_TI, w_TI = tile(w_OI, torch.int32), tile(w_OI)
    old = float(ws_1)

    def moved(part: slice) -> torch.Tensor:
        rows = part.stop - part.start
        product(d_BO[:, part].T, h_BI, g_TI[:rows])
        floats_TI = floats_(g_TI[:rows]).mul_(factor).mul_(rate)
        return floats_TI.add_(w_TI[:rows].copy_(w_OI[part]).mul_(old))

    most = 0.0
    for part in parts_of(w_OI):
        most = max(most, float(tag(extent(moved(part)).amax(), Category.WORKSPACE, "largest")))
    ws_1.fill_(most / LEVELS)
    inverse = 1.0 / max(float(ws_1), SMALLEST)
    for part in parts_of(w_OI):
        start = part.start * w_OI.shape[1]
        round_(moved(part).mul_(inverse), w_OI[part], start, chance, w_TI.view(torch.int32))


def update_fp32(
    w_OI: torch.Tensor,
    m_OI: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    *,
    scale: float,
    momentum: float,
    rate: float,
) -> None:
    """``m = momentum m + scale d^T h; w -= rate m``; without rows, m is not kept."""
    g_TI = tile(w_OI, torch.int32)
    for part in parts_of(w_OI):
        rows = part.stop - part.start
        product(d_BO[:, part].T, h_BI, g_TI[:rows])
        moved = floats_(g_TI[:rows]).mul_(scale)
        if len(m_OI):
            torch.mul(m_OI[part].mul_(momentum).add_(moved), rate, out=moved)
        else:
            moved.mul_(rate)
        w_OI[part].sub_(moved)
