"""A layer's activations and gradients in INT8, with a scale per row; weights have one per output.

The output of a layer is rounded to INT8 as soon as a row of its INT32 sums is complete, so the sums
never exist as a matrix. The equations are in
:mod:`trainfit.algorithms.numerics.int8.layer_kernels`. Its few rows of scratch are tensors, so that
they are measured.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, G rows of a group.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8 import torch_layer as plain
from trainfit.algorithms.numerics.int8.blocks import GROUP
from trainfit.algorithms.numerics.int8.products import wide_of
from trainfit.algorithms.numerics.int8.quantise import words
from trainfit.algorithms.numerics.int8.tiles import Chance
from trainfit.algorithms.numerics.lazy_kernels import int8_layer_kernels as compiled
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.algorithms.phases import Category, tag


class RowQuantized(NamedTuple):
    """A matrix with a scale per row: element (r, c) stands for ``scale[r] q[r, c]``."""

    q: torch.Tensor
    scale: torch.Tensor


class QuantConfig(NamedTuple):
    """Rounding of numbers, and the kernel."""

    rounding: Rounding
    kernel: Int8Kernel

    @property
    def stochastic(self) -> bool:
        """Whether rounding takes random numbers."""
        return self.rounding is Rounding.STOCHASTIC

    @property
    def in_torch(self) -> bool:
        """Whether the kernel is in plain torch."""
        return self.kernel is Int8Kernel.TORCH

    def chance(self, seed: int) -> Chance:
        """The random numbers of one tensor."""
        return Chance(self.stochastic, *words(seed))


def sums_of(rows: int, columns: int) -> torch.Tensor:
    """Scratch for INT32 sums, a few rows at a time."""
    sums = torch.empty(rows, columns, dtype=torch.int32)
    return tag(sums, Category.WORKSPACE, "INT32 sums of a few rows")


# ---- activations ----------------------------------------------------------------------------


def forward(
    h: RowQuantized, w: RowQuantized, b_O: torch.Tensor, way: QuantConfig, seed: int
) -> tuple[RowQuantized, torch.Tensor]:
    """``max(0, h w^T + b)`` in INT8, and the sum of squares of each row of integers.

    Args:
        h: Inputs, q of shape (B, I).
        w: Weights, q of shape (O, I).
        b_O: Bias, float32.
        way: Rounding and kernel.
        seed: 64 bits, for stochastic rounding.

    Returns:
        The output with q of shape (B, O), and ``sum_o q^2`` of shape (B,), float32: exact below
        2^24, rounded below 2^31, which can be exceeded with more than 2^17 outputs.
    """
    batch, outputs = len(h.q), len(w.q)
    q_BO = torch.empty(batch, outputs, dtype=torch.int8)
    s_B = torch.empty(batch)
    squares_B = torch.empty(batch)
    chance = way.chance(seed)
    if way.in_torch:
        plain.forward(*h, *w, b_O, chance, q_BO, s_B)
        plain.sum_squares(q_BO, squares_B)
        return RowQuantized(q_BO, s_B), squares_B
    wide, sums = [], []
    for part in _forward_parts(h.q, w.q):
        wide.append(wide_of(part.stop - part.start, h.q.shape[1]))
        sums.append(sums_of(len(wide[-1]), outputs))
    operands = h.q, h.scale, w.q, w.scale, b_O
    int8_forward(*operands, *chance, q_BO, s_B, squares_B, wide, sums)
    return RowQuantized(q_BO, s_B), squares_B


@operator(
    "int8_forward(Tensor h_BI, Tensor hs_B, Tensor w_OI, Tensor ws_O, Tensor b_O, bool stochastic,"
    " int low, int high, Tensor(a!) q_BO, Tensor(b!) s_B, Tensor(c!) squares_B,"
    " Tensor(d!)[] scratch_wide, Tensor(e!)[] scratch_sums) -> ()"
)
def int8_forward(  # noqa: PLR0917
    h_BI: torch.Tensor,
    hs_B: torch.Tensor,
    w_OI: torch.Tensor,
    ws_O: torch.Tensor,
    b_O: torch.Tensor,
    stochastic: bool,
    low: int,
    high: int,
    q_BO: torch.Tensor,
    s_B: torch.Tensor,
    squares_B: torch.Tensor,
    scratch_wide: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``forward`` with memory for its results and each thread's ``wide_of`` and ``sums_of``."""
    parts = _forward_parts(h_BI, w_OI)
    scratch = list(zip(scratch_wide, scratch_sums, strict=True))
    results = stochastic, low, high, q_BO, s_B, squares_B
    threads.call(compiled.forward, parts, (h_BI, hs_B, w_OI, ws_O, b_O), scratch, results)


def _forward_parts(h_BI: torch.Tensor, w_OI: torch.Tensor) -> list[threads.Part]:
    """The rows of activations for each thread."""
    return threads.parts_of(len(h_BI), GROUP, h_BI.numel() * len(w_OI))


# ---- gradients ------------------------------------------------------------------------------


def rescale(
    g: RowQuantized, ratio_B: torch.Tensor, way: QuantConfig, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients to one scale: ``round(ratio q)``, int8 of shape (B, O), and ``sum_b scale q``."""
    d_BO = torch.empty_like(g.q)
    db_O = torch.empty(g.q.shape[1])
    chance = way.chance(seed)
    if way.in_torch:
        plain.rescale(*g, ratio_B, chance, d_BO, db_O)
    else:
        int8_rescale(g.q, g.scale, ratio_B, *chance, d_BO, db_O)
    return d_BO, db_O


@operator(
    "int8_rescale(Tensor g_BO, Tensor gs_B, Tensor ratio_B, bool stochastic, int low, int high,"
    " Tensor(a!) d_BO, Tensor(b!) db_O) -> ()"
)
def int8_rescale(  # noqa: PLR0917
    g_BO: torch.Tensor,
    gs_B: torch.Tensor,
    ratio_B: torch.Tensor,
    stochastic: bool,
    low: int,
    high: int,
    d_BO: torch.Tensor,
    db_O: torch.Tensor,
) -> None:
    """``rescale`` with memory for its results."""
    operands = g_BO.numpy(), ratio_B.numpy(), gs_B.numpy()
    compiled.rescale(*operands, stochastic, low, high, d_BO.numpy(), db_O.numpy())
