"""Two-valued activations ``t sign(z)``, what a tanh becomes, and their products with signs.

``t = tanh(mean(abs(z)))`` over the whole batch: binarised first, then put through the tanh, which
leaves two values. Their gradient is ``(1 - t^2) 1[abs(z) < 1]``, the tanh's there times the
straight-through cut. Of signs and signs, ``sum_k h_k w_k = K - 2 popcount(h XOR w)`` (XNOR-Net,
Rastegari et al. 2016). Compiled on first use; allocates nothing.

Decisions: the sign of 0 is +1, since a bit has two values, and z = 0 passes no gradient.

Shape suffixes: B batch, O outputs, b bytes of packed bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch

from ..operations import Kind
from ..plan import Item, MemoryPlan
from .binarised import Bits, mean_abs, plan_binarise, tile_extent
from .binary import pack_open_unit, pack_signs, packed_width
from .popcount import count64, load64


def binarise_signs(z_BO: torch.Tensor, *, mask: bool = True) -> Bits:
    """Pack the signs of a layer, and where its gradient passes.

    Args:
        z_BO: Pre-activation; used up if there is a mask.
        mask: Whether a gradient will come this way.
    """
    batch, outputs = z_BO.shape
    rows = tile_extent(batch, 2 * outputs)
    scale = mean_abs(z_BO).tanh_()
    bits_MBb = torch.empty(1, batch, packed_width(outputs), dtype=torch.uint8)
    pack_signs(z_BO, bits_MBb[0], rows)
    inside_Bb = torch.empty(batch if mask else 0, packed_width(outputs), dtype=torch.uint8)
    if mask:
        pack_open_unit(z_BO.abs_(), inside_Bb, rows)
    return Bits(bits_MBb, scale, inside_Bb, signed=True)


def plan_binarise_signs(plan: MemoryPlan, name: str, batch: int, outputs: int) -> list[Item]:
    """The closed form of ``binarise_signs`` with the mask; the caller frees what it returns."""
    plan.each(Kind.TRANSCENDENTAL, 1)
    return plan_binarise(plan, name, batch, outputs)  # which counts both sides of the mask


@numba.njit(  # type: ignore[untyped-decorator]
    "void(uint8[:,::1], uint8[:,::1], float32[:,::1], int64)", nogil=True, cache=True
)
def _add_product(h_Bb: Any, w_Ob: Any, z_BO: Any, inner: Any) -> None:  # pragma: no cover
    batch, width = h_Bb.shape
    words = width // 8
    for b in range(batch):
        for o in range(w_Ob.shape[0]):
            unlike = np.uint64(0)
            for k in range(words):
                h = load64(h_Bb, b * width + 8 * k)
                unlike += count64(h ^ load64(w_Ob, o * width + 8 * k))
            for k in range(8 * words, width):
                unlike += count64(np.uint64(h_Bb[b, k]) ^ np.uint64(w_Ob[o, k]))
            z_BO[b, o] += np.float32(inner) - np.float32(2.0) * np.float32(unlike)


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
    _add_product(h_Bb.numpy(), w_Ob.numpy(), z_BO.numpy(), inner)
