"""The parts of a layer-local step in INT8: forward, gradients to one scale, update of the weights.

Activations and gradients have a scale per row, weights one per output. The output of a layer is
rounded to INT8 as soon as a row of its INT32 sums is complete, and a row of a weight gradient goes
to the weights as soon as it is: neither exists as a matrix. The equations are those of
:mod:`algorithms.numerics.int8_layer_kernels`. Its few rows of scratch are tensors, so that they
are measured; the closed form is beside each function and counts the arithmetic too.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, G rows of a group,
R rows of a block.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..operations import Kind, NumberFormat
from ..phases import Category, tag
from ..plan import Item, MemoryPlan
from . import int8_layer_kernels as compiled
from . import int8_layer_torch as plain
from .int8 import Int8Kernel, Rounding, count_rounding, words
from .int8_products import pairs_of, plan_pairs, plan_wide, wide_of
from .int8_vectors import SPREAD_ROWS


class Rows(NamedTuple):
    """A matrix with a scale per row: element (r, c) stands for ``scale[r] q[r, c]``."""

    q: torch.Tensor
    scale: torch.Tensor


class PlannedRows(NamedTuple):
    """The closed form of ``Rows``."""

    q: Item
    scale: Item


def plan_rows(plan: MemoryPlan, name: str, rows: int, columns: int, kind: Category) -> PlannedRows:
    """Room for ``Rows``, to be freed by the caller."""
    q = plan.alloc(name, (rows, columns), kind, bits=8)
    return PlannedRows(q, plan.alloc(f"scale of {name}", (rows,), kind))


class Way(NamedTuple):
    """How numbers are rounded, and by which kernel."""

    rounding: Rounding
    kernel: Int8Kernel

    @property
    def stochastic(self) -> bool:
        """Whether rounding takes random numbers."""
        return self.rounding is Rounding.STOCHASTIC

    @property
    def in_torch(self) -> bool:
        """Whether plain torch computes."""
        return self.kernel is Int8Kernel.TORCH

    def chance(self, seed: int) -> plain.Chance:
        """The random numbers of one tensor."""
        return plain.Chance(self.stochastic, *words(seed))


# ---- activations ----------------------------------------------------------------------------


def forward(h: Rows, w: Rows, b_O: torch.Tensor, way: Way, seed: int) -> tuple[Rows, torch.Tensor]:
    """``max(0, h w^T + b)`` in INT8, and the sum of squares of each row of integers.

    Args:
        h: Inputs, q of shape (B, I).
        w: Weights, q of shape (O, I).
        b_O: Bias, float32.
        way: How to round, and with what.
        seed: 64 bits, for stochastic rounding.

    Returns:
        The output with q of shape (B, O), and ``sum_o q^2`` of shape (B,), float32: exact below
        2^24, rounded below 2^31, which is beyond for more than 2^17 outputs.
    """
    batch, outputs = len(h.q), len(w.q)
    q_BO = torch.empty(batch, outputs, dtype=torch.int8)
    s_B = torch.empty(batch)
    squares_B = torch.empty(batch)
    chance = way.chance(seed)
    if way.in_torch:
        plain.forward(*h, *w, b_O, chance, q_BO, s_B)
        plain.sum_squares(q_BO, squares_B)
        return Rows(q_BO, s_B), squares_B
    wide_GI = wide_of(batch, h.q.shape[1])
    z_GO = _sums(len(wide_GI), outputs)
    operands = (*h, *w, b_O, wide_GI, z_GO)
    results = (q_BO, s_B, squares_B)
    compiled.forward(*(t.numpy() for t in operands), *chance, *(t.numpy() for t in results))
    return Rows(q_BO, s_B), squares_B


def plan_forward(
    plan: MemoryPlan, name: str, batch: int, shape: tuple[int, int], way: Way
) -> tuple[PlannedRows, Item]:
    """The closed form of ``forward`` with weights of ``shape`` (O, I)."""
    outputs, inputs = shape
    h = plan_rows(plan, name, batch, outputs, Category.ACTIVATIONS)
    squares = plan.alloc(f"squares of {name}", (batch,), Category.ACTIVATIONS)
    if way.in_torch:
        plain.plan_forward(plan, batch, inputs, outputs, stochastic=way.stochastic)
        plain.plan_sum_squares(plan, batch, outputs)
    else:
        wide = plan_wide(plan, batch, inputs)
        plan.free(_plan_sums(plan, wide.shape[0], outputs), wide)
    elements = batch * outputs
    plan.product(batch, inputs, outputs, NumberFormat.INT8)
    plan.each(Kind.MULTIPLY, 2 * elements)  # scales
    plan.each(Kind.ADD, elements)
    plan.each(Kind.COMPARE, 2 * elements)  # rectifier, largest of a row
    plan.each(Kind.DIVIDE, batch)
    count_rounding(plan, elements, way.rounding)
    _count_squares(plan, elements)
    return h, squares


def sum_squares(q_BI: torch.Tensor, way: Way) -> torch.Tensor:
    """``sum_i q^2`` of each row, float32."""
    squares_B = torch.empty(len(q_BI))
    if way.in_torch:
        plain.sum_squares(q_BI, squares_B)
    else:
        compiled.sum_squares(q_BI.numpy(), squares_B.numpy())
    return squares_B


def plan_sum_squares(plan: MemoryPlan, name: str, batch: int, inputs: int, way: Way) -> Item:
    """The closed form of ``sum_squares``."""
    squares = plan.alloc(name, (batch,), Category.ACTIVATIONS)
    if way.in_torch:
        plain.plan_sum_squares(plan, batch, inputs)
    _count_squares(plan, batch * inputs)
    return squares


def _count_squares(plan: MemoryPlan, elements: int) -> None:
    plan.each(Kind.MULTIPLY, elements, NumberFormat.INT8)
    plan.each(Kind.ADD, elements, NumberFormat.INT8)


# ---- gradients ------------------------------------------------------------------------------


def rescale(
    g: Rows, ratio_B: torch.Tensor, way: Way, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients to one scale: ``round(ratio q)``, int8 of shape (B, O), and ``sum_b scale q``."""
    d_BO = torch.empty_like(g.q)
    db_O = torch.empty(g.q.shape[1])
    chance = way.chance(seed)
    if way.in_torch:
        plain.rescale(*g, ratio_B, chance, d_BO, db_O)
    else:
        g_BO, gs_B = g
        operands = (t.numpy() for t in (g_BO, ratio_B, gs_B))
        compiled.rescale(*operands, *chance, d_BO.numpy(), db_O.numpy())
    return d_BO, db_O


def plan_rescale(
    plan: MemoryPlan, name: str, batch: int, outputs: int, way: Way
) -> tuple[Item, Item]:
    """The closed form of ``rescale``."""
    d = plan.alloc(f"d{name}", (batch, outputs), Category.GRADIENTS, bits=8)
    db = plan.alloc(f"db{name}", (outputs,), Category.GRADIENTS)
    if way.in_torch:
        plain.plan_rescale(plan, batch, outputs, stochastic=way.stochastic)
    plan.each(Kind.MULTIPLY, batch * outputs)
    plan.each(Kind.ADD, batch * outputs)
    count_rounding(plan, batch * outputs, way.rounding)
    return d, db


class Below(NamedTuple):
    """What ``back`` needs of the layer that a gradient arrives at.

    Attributes:
        q_BI: Its output.
        squares_B: The sums of squares of q's rows, at least 1.
        local_B: What turns q into the gradient of the layer's own loss.
        later_B: The derivative of the normalised output by the output, times the scale of e.
        fold_I: The scales of the layer's weights; without elements if nothing is below it.
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
    way: Way,
    seeds: tuple[int, int],
) -> tuple[Rows, Rows | None]:
    """A gradient through the weights above to a layer's output, joined with the layer's own.

    With ``v`` the gradient that arrives, through normalisation and rectifier, and ``t = local q``:

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
    pairs_RP = pairs_of(e_BO.shape[1])
    dh_RI = _sums(SPREAD_ROWS, w_OI.shape[1])
    row_2I = tag(torch.empty(2, w_OI.shape[1]), Category.WORKSPACE, "two rows")
    operands = (e_BO, w_OI, pairs_RP, dh_RI, row_2I, *at)
    compiled.back(
        *(t.numpy() for t in operands),
        weight,
        *chances[0],
        *chances[1][1:],
        *(t.numpy() for t in (*g, below_q, below_s)),
    )
    return g, below


def _empty_rows(like_BI: torch.Tensor) -> Rows:
    return Rows(torch.empty_like(like_BI), torch.empty(len(like_BI)))


def plan_back(
    plan: MemoryPlan, name: str, batch: int, shape: tuple[int, int], way: Way, *, below: bool
) -> tuple[PlannedRows, PlannedRows | None]:
    """The closed form of ``back`` through weights of ``shape`` (O, I)."""
    outputs, inputs = shape
    g = plan_rows(plan, f"g{name}", batch, inputs, Category.GRADIENTS)
    passed = plan_rows(plan, f"e{name}", batch, inputs, Category.GRADIENTS) if below else None
    if way.in_torch:
        plain.plan_back(plan, batch, inputs, outputs, stochastic=way.stochastic, below=below)
    else:
        pairs = plan_pairs(plan, outputs)
        sums = _plan_sums(plan, SPREAD_ROWS, inputs)
        rows = plan.alloc("two rows", (2, inputs), Category.WORKSPACE, essential=False)
        plan.free(rows, sums, pairs)
    elements = batch * inputs
    plan.product(batch, outputs, inputs, NumberFormat.INT8)
    _count_squares(plan, elements)  # q . e w
    plan.each(Kind.MULTIPLY, (4 + below) * elements)
    plan.each(Kind.ADD, (2 + below) * elements)
    plan.each(Kind.COMPARE, (2 + below) * elements)
    plan.each(Kind.DIVIDE, (2 + below) * batch)
    for _ in range(1 + below):
        count_rounding(plan, elements, way.rounding)
    return g, passed


# ---- weights --------------------------------------------------------------------------------


def update_int8(  # noqa: PLR0917
    w: Rows, d_BO: torch.Tensor, h_BI: torch.Tensor, step: float, way: Way, seed: int
) -> None:
    """``w += step d^T h`` on weights that are INT8, in place, rounded stochastically.

    A row's scale doubles when the row would not fit any more, and halves when it would fit twice:
    the largest weight of a row stays between 64 and 127 steps of its scale.
    """
    chance = way.chance(seed)
    if way.in_torch:
        plain.update_int8(*w, d_BO, h_BI, step, chance._replace(stochastic=True))
        return
    pairs_RP = pairs_of(len(d_BO))
    sums_RI = _sums(SPREAD_ROWS, h_BI.shape[1])
    moved_I = tag(torch.empty_like(h_BI[0]), Category.WORKSPACE, "moved row")
    operands = (d_BO, h_BI, pairs_RP, sums_RI, moved_I, *w)
    compiled.update_int8(*(t.numpy() for t in operands), step, chance.low, chance.high)


def plan_update_int8(plan: MemoryPlan, batch: int, shape: tuple[int, int], way: Way) -> None:
    """The closed form of ``update_int8``."""
    outputs, inputs = shape
    if way.in_torch:
        plain.plan_update_int8(plan, batch, inputs, outputs)
    else:
        _plan_update_scratch(plan, batch, inputs, moved_row=True)
    elements = outputs * inputs
    plan.product(outputs, batch, inputs, NumberFormat.INT8)
    plan.each(Kind.MULTIPLY, elements)
    plan.each(Kind.ADD, elements)
    plan.each(Kind.COMPARE, elements)
    plan.each(Kind.DIVIDE, outputs)
    count_rounding(plan, elements, Rounding.STOCHASTIC)


def update_fp32(
    w_OI: torch.Tensor,
    m_OI: torch.Tensor,
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    *,
    scale: float,
    momentum: float,
    rate: float,
    way: Way,
) -> None:
    """``m = momentum m + scale d^T h; w -= rate m`` on float32 weights, in place.

    ``m`` has no rows if there is no momentum; its place is then taken by ``scale d^T h``.
    """
    if way.in_torch:
        plain.update_fp32(w_OI, m_OI, d_BO, h_BI, scale=scale, momentum=momentum, rate=rate)
        return
    pairs_RP = pairs_of(len(d_BO))
    operands = (d_BO, h_BI, pairs_RP, _sums(SPREAD_ROWS, h_BI.shape[1]), w_OI, m_OI)
    compiled.update_fp32(*(t.numpy() for t in operands), scale, momentum, rate)


def plan_update_fp32(
    plan: MemoryPlan, batch: int, shape: tuple[int, int], way: Way, *, momentum: bool
) -> None:
    """The closed form of ``update_fp32``."""
    outputs, inputs = shape
    if way.in_torch:
        plain.plan_update_fp32(plan, batch, inputs, outputs)
    else:
        _plan_update_scratch(plan, batch, inputs, moved_row=False)
    plan.product(outputs, batch, inputs, NumberFormat.INT8)
    plan.each(Kind.MULTIPLY, (2 + momentum) * outputs * inputs)
    plan.each(Kind.ADD, (1 + momentum) * outputs * inputs)


def _plan_update_scratch(plan: MemoryPlan, batch: int, inputs: int, *, moved_row: bool) -> None:
    scratch = [plan_pairs(plan, batch), _plan_sums(plan, SPREAD_ROWS, inputs)]
    if moved_row:
        scratch.append(
            plan.alloc("moved row", (inputs,), Category.WORKSPACE, bits=8, essential=False)
        )
    plan.free(*scratch)


def _sums(rows: int, columns: int) -> torch.Tensor:
    sums = torch.empty(rows, columns, dtype=torch.int32)
    return tag(sums, Category.WORKSPACE, "INT32 sums of a few rows")


def _plan_sums(plan: MemoryPlan, rows: int, columns: int) -> Item:
    name = "INT32 sums of a few rows"
    return plan.alloc(name, (rows, columns), Category.WORKSPACE, essential=False)
