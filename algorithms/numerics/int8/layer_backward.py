"""A gradient propagated through INT8 weights, the normalisation of rows and a rectifier.

The equations are those of ``back`` in :mod:`trainfit.algorithms.numerics.int8.layer_kernels`.

Shape suffixes: B rows of activations, I inputs and O outputs of the layer above.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8 import torch_layer as plain
from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS
from trainfit.algorithms.numerics.int8.layer import (
    QuantConfig,
    RowQuantized,
    sums_of,
)
from trainfit.algorithms.numerics.int8.products import pairs_of
from trainfit.algorithms.numerics.lazy_kernels import int8_layer_kernels as compiled
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.phases import Category, tag


class Below(NamedTuple):
    """The inputs of ``back`` from the layer below, at which a gradient arrives.

    Attributes:
        q_BI: Its output.
        squares_B: The sums of squares of q's rows, at least 1.
        local_B: Factors from q to the gradient of the layer's own loss.
        later_B: The derivative of the normalised output by the output, times the scale of e.
        fold_I: The scales of the layer's weights; empty if there is no layer below.
    """

    q_BI: torch.Tensor
    squares_B: torch.Tensor
    local_B: torch.Tensor
    later_B: torch.Tensor
    fold_I: torch.Tensor


def back(  # noqa: PLR0917
    e_BO: torch.Tensor,
    w_OI: torch.Tensor,
    at: Below,
    weight: float,
    way: QuantConfig,
    seeds: tuple[int, int],
) -> tuple[RowQuantized, RowQuantized | None]:
    """A gradient through the weights above to a layer's output, joined with the layer's own.

    With ``v`` the arriving gradient after normalisation and rectifier, and ``t = local q``:

    Returns:
        ``t + weight v`` for the layer's weights, and ``fold (t + v)`` for the layer below if
        there is one, both of shape (B, I), with a scale per row.
    """
    g = _empty_rows(at.q_BI)
    below = _empty_rows(at.q_BI) if len(at.fold_I) else None
    chances = way.chance(seeds[0]), way.chance(seeds[1])
    below_q, below_s = below or (g.q[:0], g.scale[:0])
    if way.in_torch:
        plain.back(e_BO, w_OI, *at, weight, chances, *g, below_q, below_s)
        return g, below
    inputs = w_OI.shape[1]
    pairs, sums, rows = [], [], []
    for _ in _parts(e_BO, w_OI):
        pairs.append(pairs_of(e_BO.shape[1]))
        sums.append(sums_of(SPREAD_ROWS, inputs))
        rows.append(tag(torch.empty(2, inputs), Category.WORKSPACE, "two rows"))
    given = e_BO, w_OI, at.q_BI, at.squares_B, at.local_B, at.later_B, at.fold_I
    chance, chance_below = chances
    keys = chance.stochastic, chance.low, chance.high, chance_below.low, chance_below.high
    results = g.q, g.scale, below_q, below_s
    int8_back(*given, weight, *keys, *results, pairs, sums, rows)
    return g, below


@operator(
    "int8_back(Tensor e_BO, Tensor w_OI, Tensor q_BI, Tensor squares_B, Tensor local_B,"
    " Tensor later_B, Tensor fold_I, float weight, bool stochastic, int low, int high,"
    " int low_below, int high_below, Tensor(a!) g_BI, Tensor(b!) gs_B, Tensor(c!) below_BI,"
    " Tensor(d!) below_s_B, Tensor(e!)[] scratch_pairs, Tensor(f!)[] scratch_sums,"
    " Tensor(g!)[] scratch_rows) -> ()"
)
def int8_back(  # noqa: PLR0917
    e_BO: torch.Tensor,
    w_OI: torch.Tensor,
    q_BI: torch.Tensor,
    squares_B: torch.Tensor,
    local_B: torch.Tensor,
    later_B: torch.Tensor,
    fold_I: torch.Tensor,
    weight: float,
    stochastic: bool,
    low: int,
    high: int,
    low_below: int,
    high_below: int,
    g_BI: torch.Tensor,
    gs_B: torch.Tensor,
    below_BI: torch.Tensor,
    below_s_B: torch.Tensor,
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
    scratch_rows: list[torch.Tensor],
) -> None:
    """``back`` with memory for its results and each thread's scratch.

    ``below_BI`` has no rows if there is no layer below.
    """
    scratch = list(zip(scratch_pairs, scratch_sums, scratch_rows, strict=True))
    at = Below(q_BI, squares_B, local_B, later_B, fold_I)
    numbers = weight, stochastic, low, high, low_below, high_below
    rest = (*at, *numbers, g_BI, gs_B, below_BI, below_s_B)
    threads.call(compiled.back, _parts(e_BO, w_OI), (e_BO, w_OI), scratch, rest)


def _parts(e_BO: torch.Tensor, w_OI: torch.Tensor) -> list[threads.Part]:
    """The rows of gradients for each thread."""
    return threads.parts_of(len(e_BO), SPREAD_ROWS, e_BO.numel() * w_OI.shape[1])


def _empty_rows(like_BI: torch.Tensor) -> RowQuantized:
    return RowQuantized(torch.empty_like(like_BI), torch.empty(len(like_BI)))
