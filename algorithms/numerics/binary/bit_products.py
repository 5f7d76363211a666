"""Products of packed activations with packed signs, by population count.

The arithmetic is in :mod:`trainfit.algorithms.numerics.binary.popcount_kernels`. Nothing is
allocated.

Shape suffixes: B batch, O outputs, b bytes of packed bits.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.lazy_kernels import popcount_kernels
from trainfit.algorithms.numerics.operators import operator


@operator("add_binary_product(Tensor h_Bb, Tensor w_Ob, Tensor(a!) z_BO, int inner) -> ()")
def add_binary_product(
    h_Bb: torch.Tensor, w_Ob: torch.Tensor, z_BO: torch.Tensor, inner: int
) -> None:
    """``z += h w^T`` for packed activations and packed signs, exact in float32.

    Args:
        h_Bb: Bits of h in {0, 1}, uint8, contiguous; padding bits are 0.
        w_Ob: Bits of w in {-1, +1}, uint8, contiguous, of the same width.
        z_BO: float32, contiguous; sums beyond 2**24 would round.
        inner: Columns without the padding, for whoever counts operations.
    """
    del inner
    parts = _rows_of(h_Bb, w_Ob)
    scratch = [()] * len(parts)
    threads.call(popcount_kernels.add_binary_product, parts, (h_Bb, w_Ob, z_BO), scratch)


@operator("add_sign_product(Tensor h_Bb, Tensor w_Ob, Tensor(a!) z_BO, int inner) -> ()")
def add_sign_product(
    h_Bb: torch.Tensor, w_Ob: torch.Tensor, z_BO: torch.Tensor, inner: int
) -> None:
    """``z += h w^T`` for packed signs on both sides, exact in float32.

    Args:
        h_Bb: Bits of h in {-1, +1}, uint8, contiguous; padding bits are 0.
        w_Ob: Bits of w in {-1, +1}, uint8, contiguous, of the same width.
        z_BO: float32, contiguous; sums beyond 2**24 would round.
        inner: Columns without the padding.
    """
    parts = _rows_of(h_Bb, w_Ob)
    scratch = [()] * len(parts)
    threads.call(popcount_kernels.add_sign_product, parts, (h_Bb, w_Ob, z_BO), scratch, (inner,))


def _rows_of(h_Bb: torch.Tensor, w_Ob: torch.Tensor) -> list[threads.Part]:
    """The rows of h for each thread."""
    rows, width = h_Bb.shape
    return threads.parts_of(rows, 1, rows * len(w_Ob) * width)  # eight bits at a time
