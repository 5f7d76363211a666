"""Products of packed activations with packed signs, by population count.

With h in {0, 1} and w in {-1, +1}, ``sum_i w_i h_i = 2 popcount(h AND w) - popcount(h)`` where w's
bits are 1 for +1; with signs on both sides, ``sum_i w_i h_i = I - 2 popcount(h XOR w)`` (XNOR-Net,
Rastegari et al. 2016). Compiled on first use; allocates nothing.

Shape suffixes: B batch, O outputs, b bytes of packed bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.compiled import compiled


@intrinsic  # type: ignore[untyped-decorator]
def count64(context: Any, bits: Any) -> Any:  # pragma: no cover  (runs in the compiler)
    """Number of set bits of a 64-bit word."""
    word = ir.IntType(64)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(word, [word]), "llvm.ctpop.i64"
        )
        return builder.call(function, arguments)

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def load64(context: Any, rows: Any, offset: Any) -> Any:  # pragma: no cover  (as above)
    """Eight bytes of a C-contiguous byte matrix as one word; rows need not be aligned."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(address, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(rows, types.intp), generate


@compiled("void(uint8[:,::1], uint8[:,::1], float32[:,::1])", nogil=True)
def _add_product(h_Bb: Any, w_Ob: Any, z_BO: Any) -> None:  # pragma: no cover  (compiled)
    batch, width = h_Bb.shape
    words = width // 8
    for b in range(batch):
        own = np.uint64(0)
        for k in range(words):
            own += count64(load64(h_Bb, b * width + 8 * k))
        for k in range(8 * words, width):
            own += count64(np.uint64(h_Bb[b, k]))
        for o in range(w_Ob.shape[0]):
            both = np.uint64(0)
            for k in range(words):
                h = load64(h_Bb, b * width + 8 * k)
                both += count64(h & load64(w_Ob, o * width + 8 * k))
            for k in range(8 * words, width):
                both += count64(np.uint64(h_Bb[b, k]) & np.uint64(w_Ob[o, k]))
            z_BO[b, o] += np.float32(2.0) * np.float32(both) - np.float32(own)


def add_binary_product(h_Bb: torch.Tensor, w_Ob: torch.Tensor, z_BO: torch.Tensor) -> None:
    """``z += h w^T`` for packed activations and packed signs, exact in float32.

    Args:
        h_Bb: Bits of h in {0, 1}, uint8, contiguous; padding bits are 0.
        w_Ob: Bits of w in {-1, +1}, uint8, contiguous, of the same width.
        z_BO: float32, contiguous; sums beyond 2**24 would round.
    """
    _add_product(h_Bb.numpy(), w_Ob.numpy(), z_BO.numpy())


@compiled("void(uint8[:,::1], uint8[:,::1], float32[:,::1], int64)", nogil=True)
def _add_xnor_product(h_Bb: Any, w_Ob: Any, z_BO: Any, inner: Any) -> None:  # pragma: no cover
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
    _add_xnor_product(h_Bb.numpy(), w_Ob.numpy(), z_BO.numpy(), inner)
