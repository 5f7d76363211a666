"""Updates of INT8 or float32 weights by a product of INT8 matrices.

A few rows of the gradient are summed in INT32 and applied to the weights at once; the gradient
never exists as a matrix.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, R rows of a block.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8 import torch_update as plain
from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS
from trainfit.algorithms.numerics.int8.layer import QuantConfig, RowQuantized, sums_of
from trainfit.algorithms.numerics.int8.products import (
    grad_weight_parts,
    pairs_of,
)
from trainfit.algorithms.numerics.int8.tiles import LEVELS, SMALLEST
from trainfit.algorithms.numerics.lazy_kernels import int8_update_kernels as compiled
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.phases import Category, tag


def update_int8(  # noqa: PLR0917
    w: RowQuantized,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    step: float,
    way: QuantConfig,
    seed: int,
) -> None:
    """``w += step d^T h`` on weights that are INT8, in place, rounded stochastically.

    A row's scale doubles when the row no longer fits, and halves when it would fit twice: the
    largest weight of a row stays between 64 and 127 steps of its scale.
    """
    chance = way.chance(seed)
    if way.in_torch:
        plain.update_int8(*w, d_BO, h_BI, step, chance._replace(stochastic=True))
        return
    pairs, sums, rows = [], [], []
    for _ in grad_weight_parts(d_BO, h_BI):
        pairs.append(pairs_of(len(d_BO)))
        sums.append(sums_of(SPREAD_ROWS, h_BI.shape[1]))
        rows.append(tag(torch.empty_like(h_BI[0]), Category.WORKSPACE, "moved row"))
    int8_update(d_BO, h_BI, *w, step, chance.low, chance.high, pairs, sums, rows)


@operator(
    "int8_update(Tensor d_BO, Tensor h_BI, Tensor(a!) w_OI, Tensor(b!) ws_O, float step, int low,"
    " int high, Tensor(c!)[] scratch_pairs, Tensor(d!)[] scratch_sums, Tensor(e!)[] scratch_rows)"
    " -> ()"
)
def int8_update(  # noqa: PLR0917
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    w_OI: torch.Tensor,
    ws_O: torch.Tensor,
    step: float,
    low: int,
    high: int,
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
    scratch_rows: list[torch.Tensor],
) -> None:
    """``update_int8`` with each thread's scratch: the last is a row of weights that have moved."""
    scratch = list(zip(scratch_pairs, scratch_sums, scratch_rows, strict=True))
    parts = grad_weight_parts(d_BO, h_BI)
    moved = w_OI, ws_O, step, low, high
    threads.call(compiled.update_int8, parts, (d_BO, h_BI), scratch, moved)


def move_int8(  # noqa: PLR0917
    q_OI: torch.Tensor,
    scale: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    factor: float,
    rate: float,
    way: QuantConfig,
    seed: int,
) -> None:
    """``scale q += rate factor d^T h`` in place, with the largest magnitude as the new range.

    That is known only when all weights have moved, so the products are computed twice.

    Args:
        q_OI: int8, the weights.
        scale: float32, shape (1,), of all weights.
        d_BO: int8, the gradient of the outputs.
        h_BI: int8, the inputs.
        factor: The product of the scales of d and h.
        rate: The learning rate, negative.
        way: Rounding and kernel.
        seed: 64 bits, for stochastic rounding.
    """
    chance = way.chance(seed)
    if way.in_torch:
        plain.move_int8(q_OI, scale, d_BO, h_BI, factor, rate, chance)
        return
    pairs, sums = _scratch(d_BO, h_BI)
    moved = d_BO, h_BI, q_OI, float(scale), factor, rate
    most = int8_moved_range(*moved, pairs, sums)
    scale.fill_(most / LEVELS)
    int8_move(*moved, 1.0 / max(float(scale), SMALLEST), *chance, pairs, sums)


@operator(
    "int8_moved_range(Tensor d_BO, Tensor h_BI, Tensor q_OI, float scale, float factor, float rate,"
    " Tensor(a!)[] scratch_pairs, Tensor(b!)[] scratch_sums) -> float",
    on_meta=1.0,
)
def int8_moved_range(  # noqa: PLR0917
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    q_OI: torch.Tensor,
    scale: float,
    factor: float,
    rate: float,
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> float:
    """The largest magnitude of ``scale q + rate factor d^T h``; 1 on the meta device."""
    scratch = list(zip(scratch_pairs, scratch_sums, strict=True))
    parts, moved = grad_weight_parts(d_BO, h_BI), (q_OI, scale, factor, rate)
    return float(max(threads.call(compiled.moved_range, parts, (d_BO, h_BI), scratch, moved)))


@operator(
    "int8_move(Tensor d_BO, Tensor h_BI, Tensor(a!) q_OI, float scale, float factor, float rate,"
    " float inverse, bool stochastic, int low, int high, Tensor(b!)[] scratch_pairs,"
    " Tensor(c!)[] scratch_sums) -> ()"
)
def int8_move(  # noqa: PLR0917
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    q_OI: torch.Tensor,
    scale: float,
    factor: float,
    rate: float,
    inverse: float,
    stochastic: bool,
    low: int,
    high: int,
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``q = round(inverse (scale q + rate factor d^T h))``, with each thread's scratch."""
    scratch = list(zip(scratch_pairs, scratch_sums, strict=True))
    moved = q_OI, scale, factor, rate, inverse, stochastic, low, high
    parts = grad_weight_parts(d_BO, h_BI)
    threads.call(compiled.move_int8, parts, (d_BO, h_BI), scratch, moved)


def update_fp32(
    w_OI: torch.Tensor,
    m_OI: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    *,
    scale: float,
    momentum: float,
    rate: float,
    way: QuantConfig,
) -> None:
    """``m = momentum m + scale d^T h; w -= rate m`` on float32 weights, in place.

    ``m`` has no rows if there is no momentum; ``scale d^T h`` is then used instead.
    """
    if way.in_torch:
        plain.update_fp32(w_OI, m_OI, d_BO, h_BI, scale=scale, momentum=momentum, rate=rate)
        return
    pairs, sums = _scratch(d_BO, h_BI)
    int8_update_fp32(d_BO, h_BI, w_OI, m_OI, scale, momentum, rate, pairs, sums)


@operator(
    "int8_update_fp32(Tensor d_BO, Tensor h_BI, Tensor(a!) w_OI, Tensor(b!) m_OI, float scale,"
    " float momentum, float rate, Tensor(c!)[] scratch_pairs, Tensor(d!)[] scratch_sums) -> ()"
)
def int8_update_fp32(  # noqa: PLR0917
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    w_OI: torch.Tensor,
    m_OI: torch.Tensor,
    scale: float,
    momentum: float,
    rate: float,
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``update_fp32`` with each thread's scratch."""
    scratch = list(zip(scratch_pairs, scratch_sums, strict=True))
    parts, moved = grad_weight_parts(d_BO, h_BI), (w_OI, m_OI, scale, momentum, rate)
    threads.call(compiled.update_fp32, parts, (d_BO, h_BI), scratch, moved)


def _scratch(
    d_BO: torch.Tensor, h_BI: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Each thread's scratch."""
    pairs, sums = [], []
    for _ in grad_weight_parts(d_BO, h_BI):
        pairs.append(pairs_of(len(d_BO)))
        sums.append(sums_of(SPREAD_ROWS, h_BI.shape[1]))
    return pairs, sums
