"""The arithmetic of :mod:`algorithms.numerics.int8_layer_kernels` in plain torch, bit for bit.

A tile of rows at a time; the closed form of its workspace is beside each function. A tile changes
between INT32 and float32 in its own memory.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, T rows of a tile,
C columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from ..phases import Category, tag
from ..plan import Item, MemoryPlan
from .int8_layer_kernels import DOUBLINGS
from .int8_torch import add_uniform_, plan_add_uniform, plan_product, product, tile_rows, work

LEVELS = 127
HALF = 63
SMALLEST = 2.0**-126


class Chance(NamedTuple):
    """Whether to round at random, and the keys of the random numbers."""

    stochastic: bool
    low: int
    high: int


def _parts_of(t_RC: torch.Tensor) -> Iterator[slice]:
    return _parts(t_RC.shape[0], t_RC.shape[1])


def _parts(rows: int, columns: int) -> Iterator[slice]:
    """The rows of one tile after the other."""
    height = tile_rows(rows, columns)
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def _tile(of_RC: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    rows, columns = of_RC.shape
    tile = torch.empty(tile_rows(rows, columns), columns, dtype=dtype)
    return tag(tile, Category.WORKSPACE, "tile")


@contextmanager
def _plan_tiles(plan: MemoryPlan, count: int, rows: int, columns: int) -> Iterator[None]:
    height = tile_rows(rows, columns)
    tiles = [work(plan, "tile", height * columns) for _ in range(count)]
    yield
    plan.free(*tiles)


def _floats_(tile_TC: torch.Tensor) -> torch.Tensor:
    """INT32 to float32 in place."""
    floats_TC = tile_TC.view(torch.float32)
    return floats_TC.copy_(tile_TC)


def _extent(t_TC: torch.Tensor) -> torch.Tensor:
    """The largest magnitude of each row."""
    most_T = tag(t_TC.amax(1), Category.WORKSPACE, "largest of a row")
    least_T = tag(t_TC.amin(1), Category.WORKSPACE, "smallest of a row")
    return torch.maximum(most_T, least_T.neg_(), out=most_T)


def _plan_extent(plan: MemoryPlan, rows: int) -> Item:
    most = work(plan, "largest of a row", rows)
    plan.free(work(plan, "smallest of a row", rows))
    return most


def _round_(
    t_TC: torch.Tensor, q_TC: torch.Tensor, start: int, chance: Chance, scratch: torch.Tensor
) -> None:
    """Round ``t``, which is used up, into ``q``; the first element has index ``start``."""
    if chance.stochastic:
        add_uniform_(t_TC, start, chance.low, chance.high, scratch[: len(t_TC)])
        t_TC.floor_()
    else:
        t_TC.round_()
    q_TC.copy_(t_TC.clamp_(-LEVELS, LEVELS))


def _round_rows_(  # noqa: PLR0917
    t_TC: torch.Tensor,
    q_TC: torch.Tensor,
    s_T: torch.Tensor,
    start: int,
    chance: Chance,
    scratch: torch.Tensor,
) -> None:
    """The same with a scale for each row, which goes to ``s``."""
    scale_T = _extent(t_TC).div_(LEVELS)
    s_T.copy_(scale_T)
    t_TC.mul_(scale_T.clamp_(min=SMALLEST).reciprocal_()[:, None])
    del scale_T
    _round_(t_TC, q_TC, start, chance, scratch)


def _plan_round(plan: MemoryPlan, elements: int, *, stochastic: bool) -> None:
    if stochastic:
        plan_add_uniform(plan, elements)


def _plan_round_rows(plan: MemoryPlan, rows: int, columns: int, *, stochastic: bool) -> None:
    scale = _plan_extent(plan, rows)
    plan.scalar()
    plan.free(scale)
    _plan_round(plan, rows * columns, stochastic=stochastic)


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
    z_TO = _tile(q_BO, torch.int32)
    scratch = _tile(q_BO, torch.int32)
    for part in _parts_of(q_BO):
        sums_TO = z_TO[: part.stop - part.start]
        product(h_BI[part], w_OI.T, sums_TO)
        y_TO = _floats_(sums_TO).mul_(ws_O).mul_(hs_B[part, None]).add_(b_O).relu_()
        _round_rows_(y_TO, q_BO[part], s_B[part], part.start * q_BO.shape[1], chance, scratch)


def plan_forward(
    plan: MemoryPlan, batch: int, inputs: int, outputs: int, *, stochastic: bool
) -> None:
    """The closed form of ``forward``."""
    with _plan_tiles(plan, 2, batch, outputs):
        for part in _parts(batch, outputs):
            rows = part.stop - part.start
            plan_product(plan, rows, inputs, outputs)
            _plan_round_rows(plan, rows, outputs, stochastic=stochastic)


def sum_squares(q_BC: torch.Tensor, squares_B: torch.Tensor) -> None:
    """``sum over c of q^2``."""
    wide_TC = _tile(q_BC, torch.float64)
    for part in _parts_of(q_BC):
        wide = wide_TC[: part.stop - part.start]
        wide.copy_(q_BC[part])
        wide.mul_(wide)
        squares_B[part].copy_(tag(wide.sum(1), Category.WORKSPACE, "sums"))


def plan_sum_squares(plan: MemoryPlan, batch: int, columns: int) -> None:
    """The closed form of ``sum_squares``."""
    with _plan_tiles(plan, 1, batch, 2 * columns):
        pass


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
    t_TO, scratch = _tile(g_BO), _tile(g_BO, torch.int32)
    row_O = tag(torch.empty_like(db_O), Category.WORKSPACE, "row")
    db_O.zero_()
    for part in _parts_of(g_BO):
        t = t_TO[: part.stop - part.start]
        t.copy_(g_BO[part])
        for own_O, scale in zip(t, gs_B[part], strict=True):
            db_O.add_(torch.mul(own_O, scale, out=row_O))
        t.mul_(ratio_B[part, None])
        _round_(t, d_BO[part], part.start * g_BO.shape[1], chance, scratch)


def plan_rescale(plan: MemoryPlan, batch: int, outputs: int, *, stochastic: bool) -> None:
    """The closed form of ``rescale``."""
    with _plan_tiles(plan, 2, batch, outputs):
        row = work(plan, "row", outputs)
        for part in _parts(batch, outputs):
            _plan_round(plan, (part.stop - part.start) * outputs, stochastic=stochastic)
        plan.free(row)


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
    dh_TI = _tile(q_BI, torch.int32)
    q_TI, sum_TI, scratch = _tile(q_BI), _tile(q_BI), _tile(q_BI, torch.int32)
    for part in _parts_of(q_BI):
        rows, start = part.stop - part.start, part.start * inputs
        product(e_BO[part], w_OI, dh_TI[:rows])
        share_T = _along(q_BI[part], dh_TI[:rows]).div_(squares_B[part])
        v, q, t = _floats_(dh_TI[:rows]), q_TI[:rows], sum_TI[:rows]
        q.copy_(q_BI[part])
        v.sub_(torch.mul(q, share_T[:, None], out=t)).mul_(later_B[part, None])
        del share_T
        v.mul_(t.copy_(q).clamp_(max=1))  # the rectifier
        q.mul_(local_B[part, None])
        torch.mul(v, weight, out=t).add_(q)
        _round_rows_(t, g_BI[part], gs_B[part], start, chances[0], scratch)
        if len(below_BI):
            torch.add(v, q, out=t).mul_(fold_I)
            _round_rows_(t, below_BI[part], below_s_B[part], start, chances[1], scratch)


def _along(q_TI: torch.Tensor, dh_TI: torch.Tensor) -> torch.Tensor:
    """``sum over i of q dh``, exact, then float32."""
    left = tag(q_TI.to(torch.float64), Category.WORKSPACE, "tile")
    right = tag(dh_TI.to(torch.float64), Category.WORKSPACE, "tile")
    along_T = tag(left.mul_(right).sum(1), Category.WORKSPACE, "sums")
    return tag(along_T.to(torch.float32), Category.WORKSPACE, "sums")


def plan_back(
    plan: MemoryPlan, batch: int, inputs: int, outputs: int, *, stochastic: bool, below: bool
) -> None:
    """The closed form of ``back``."""
    with _plan_tiles(plan, 4, batch, inputs):
        for part in _parts(batch, inputs):
            rows = part.stop - part.start
            plan_product(plan, rows, outputs, inputs)
            wide = [work(plan, "tile", 2 * rows * inputs) for _ in range(2)]
            sums = work(plan, "sums", 2 * rows)
            share = work(plan, "sums", rows)
            plan.free(*wide, sums, share)
            plan.scalar()
            for _ in range(1 + below):
                _plan_round_rows(plan, rows, inputs, stochastic=stochastic)


# ---- weights --------------------------------------------------------------------------------


def update_int8(  # noqa: PLR0917
    w_OI: torch.Tensor,
    ws_O: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    step: float,
    chance: Chance,
) -> None:
    """``ws w += step d^T h``, rounded at random; ws doubles or halves where its row asks for it."""
    g_TI, w_TI = _tile(w_OI, torch.int32), _tile(w_OI)
    for part in _parts_of(w_OI):
        rows = part.stop - part.start
        product(d_BO[:, part].T, h_BI, g_TI[:rows])
        moved, old = _floats_(g_TI[:rows]), w_TI[:rows]
        rate_T = tag(torch.full((rows,), step), Category.WORKSPACE, "rates").div_(ws_O[part])
        moved.mul_(rate_T[:, None]).add_(old.copy_(w_OI[part]))
        del rate_T
        factor_T = _factors(_extent(moved))
        moved.mul_(factor_T[:, None])
        ws_O[part].div_(factor_T)
        del factor_T
        _round_(moved, w_OI[part], part.start * w_OI.shape[1], chance, w_TI.view(torch.int32))


def _factors(most_T: torch.Tensor) -> torch.Tensor:
    """What each row of weights is multiplied with, so that it fits; ``most`` is used up."""
    factor_T = tag(torch.ones_like(most_T), Category.WORKSPACE, "factors")
    scratch_T = tag(torch.empty_like(most_T), Category.WORKSPACE, "factors")
    fits_T = tag((most_T <= HALF).logical_and_(most_T > 0), Category.WORKSPACE, "fits twice")
    for _ in range(DOUBLINGS):
        torch.mul(most_T, factor_T, out=scratch_T)
        factor_T.mul_(scratch_T.gt_(LEVELS).mul_(-0.5).add_(1.0))
    return factor_T.masked_fill_(fits_T, 2.0)


def plan_update_int8(plan: MemoryPlan, batch: int, inputs: int, outputs: int) -> None:
    """The closed form of ``update_int8``."""
    with _plan_tiles(plan, 2, outputs, inputs):
        for part in _parts(outputs, inputs):
            rows = part.stop - part.start
            plan_product(plan, rows, batch, inputs)
            plan.free(work(plan, "rates", rows))
            row_items = [_plan_extent(plan, rows)]
            row_items += [work(plan, "factors", rows) for _ in range(2)]
            plan.free(*row_items)
            plan_add_uniform(plan, rows * inputs)


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
    """``m = momentum m + scale d^T h; w -= rate m``; without rows in m, it is not kept."""
    g_TI = _tile(w_OI, torch.int32)
    for part in _parts_of(w_OI):
        rows = part.stop - part.start
        product(d_BO[:, part].T, h_BI, g_TI[:rows])
        moved = _floats_(g_TI[:rows]).mul_(scale)
        if len(m_OI):
            torch.mul(m_OI[part].mul_(momentum).add_(moved), rate, out=moved)
        else:
            moved.mul_(rate)
        w_OI[part].sub_(moved)


def plan_update_fp32(plan: MemoryPlan, batch: int, inputs: int, outputs: int) -> None:
    """The closed form of ``update_fp32``."""
    with _plan_tiles(plan, 1, outputs, inputs):
        for part in _parts(outputs, inputs):
            plan_product(plan, part.stop - part.start, batch, inputs)
            plan.scalar()
