"""The arithmetic of the module ``layer_kernels`` in plain torch, bit for bit.

A tile of rows at a time, since a tile is workspace.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, T rows of a tile,
C columns.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.int8.tiles import (
    Chance,
    floats_,
    parts_of,
    round_,
    round_rows_,
    tile,
)
from trainfit.algorithms.numerics.int8.torch_kernels import product
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

# ---- activations ----------------------------------------------------------------------------


def forward(  # noqa: PLR0917
    h_BI: torch.Tensor,
    hs_B: torch.Tensor,
    w_OI: torch.Tensor,
    ws_O: torch.Tensor,
    b_O: torch.Tensor,
    chance: Chance,
    q_BO: torch.Tensor,
    s_B: torch.Tensor,
) -> None:
    """The layer's output; its squares are summed by ``sum_squares``."""
    z_TO = tile(q_BO, torch.int32)
    scratch = tile(q_BO, torch.int32)
    for part in parts_of(q_BO):
        sums_TO = z_TO[: part.stop - part.start]
        product(h_BI[part], w_OI.T, sums_TO)
        y_TO = floats_(sums_TO).mul_(ws_O).mul_(hs_B[part, None]).add_(b_O).relu_()
        round_rows_(y_TO, q_BO[part], s_B[part], part.start * q_BO.shape[1], chance, scratch)


def sum_squares(q_BC: torch.Tensor, squares_B: torch.Tensor) -> None:
    """``sum over c of q^2``."""
    wide_TC = tile(q_BC, torch.float64)
    for part in parts_of(q_BC):
        wide = wide_TC[: part.stop - part.start]
        wide.copy_(q_BC[part])
        wide.mul_(wide)
        squares_B[part].copy_(tag(wide.sum(1), Category.WORKSPACE, "sums"))


# ---- gradients ------------------------------------------------------------------------------


def rescale(  # noqa: PLR0917
    g_BO: torch.Tensor,
    gs_B: torch.Tensor,
    ratio_B: torch.Tensor,
    chance: Chance,
    d_BO: torch.Tensor,
    db_O: torch.Tensor,
) -> None:
    """Gradients to one scale, and the bias gradient."""
    t_TO, scratch = tile(g_BO), tile(g_BO, torch.int32)
    row_O = tag(torch.empty_like(db_O), Category.WORKSPACE, "row")
    wide_O = tag(torch.empty_like(db_O, dtype=torch.float64), Category.WORKSPACE, "wide row")
    total_O = tag(torch.zeros_like(wide_O), Category.WORKSPACE, "wide sums")
    for part in parts_of(g_BO):
        t = t_TO[: part.stop - part.start]
        t.copy_(g_BO[part])
        scale_T = gs_B[part]
        for row in in_tiles(len(t), 1):
            torch.mul(t[row.start], scale_T[row.start], out=row_O)
            total_O.add_(wide_O.copy_(row_O))
        t.mul_(ratio_B[part, None])
        round_(t, d_BO[part], part.start * g_BO.shape[1], chance, scratch)
    db_O.copy_(total_O)


_ROWS = {"row": 1, "wide row": 2, "wide sums": 2}


def back(  # noqa: PLR0917
    e_BO: torch.Tensor,
    w_OI: torch.Tensor,
    q_BI: torch.Tensor,
    squares_B: torch.Tensor,
    local_B: torch.Tensor,
    later_B: torch.Tensor,
    fold_I: torch.Tensor,
    weight: float,
    chances: tuple[Chance, Chance],
    g_BI: torch.Tensor,
    gs_B: torch.Tensor,
    below_BI: torch.Tensor,
    below_s_B: torch.Tensor,
) -> None:
    """A gradient through the layer above, the rows' normalisation and this layer's rectifier."""
    inputs = q_BI.shape[1]
    dh_TI = tile(q_BI, torch.int32)
    q_TI, sum_TI, scratch = tile(q_BI), tile(q_BI), tile(q_BI, torch.int32)
    for part in parts_of(q_BI):
        rows, start = part.stop - part.start, part.start * inputs
        product(e_BO[part], w_OI, dh_TI[:rows])
        share_T = _along(q_BI[part], dh_TI[:rows]).div_(squares_B[part])
        v, q, t = floats_(dh_TI[:rows]), q_TI[:rows], sum_TI[:rows]
        q.copy_(q_BI[part])
        v.sub_(torch.mul(q, share_T[:, None], out=t)).mul_(later_B[part, None])
        del share_T
        v.mul_(t.copy_(q).clamp_(max=1))  # the rectifier
        q.mul_(local_B[part, None])
        torch.mul(v, weight, out=t).add_(q)
        round_rows_(t, g_BI[part], gs_B[part], start, chances[0], scratch)
        if len(below_BI):
            torch.add(v, q, out=t).mul_(fold_I)
            round_rows_(t, below_BI[part], below_s_B[part], start, chances[1], scratch)


def _along(q_TI: torch.Tensor, dh_TI: torch.Tensor) -> torch.Tensor:
    """``sum over i of q dh``, exact, then float32."""
    left = tag(q_TI.to(torch.float64), Category.WORKSPACE, "tile")
    right = tag(dh_TI.to(torch.float64), Category.WORKSPACE, "tile")
    along_T = tag(left.mul_(right).sum(1), Category.WORKSPACE, "sums")
    return tag(along_T.to(torch.float32), Category.WORKSPACE, "sums")
