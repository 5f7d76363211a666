"""INT8 arithmetic compiled with numba: rounding to INT8, and products that sum in INT32.

Compiled for one thread; nothing here allocates. Every result is defined element by element, so
that :mod:`trainfit.algorithms.numerics.int8.torch_kernels` gives the same bits.

Shape suffixes: R rows, C columns, B batch, I inputs, O outputs, K the dimension that is summed
over, N columns, P pairs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS
from trainfit.algorithms.numerics.int8.vector_code import (
    DOT_COLUMNS,
    DOT_ROWS,
    LANES,
    dot_block,
    spread_block,
)

_U32 = np.uint32
_F32 = np.float32


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def uniform(index: Any, low: Any, high: Any) -> Any:  # pragma: no cover  (compiled)
    """The pseudo-random number of an element: 2^16 values, uniform between 0 and 1.

    Two rounds of multiplying and folding, with multipliers found by Wellons's search (2018).
    """
    x = _U32(index + low)
    x = _U32((x ^ (x >> _U32(16))) * _U32(0x7FEB352D))
    x = _U32((x ^ (x >> _U32(15)) ^ high) * _U32(0x846CA68B))
    return _F32(x >> _U32(16)) * _F32(2.0**-16) + _F32(2.0**-17)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def clipped(value: Any) -> Any:  # pragma: no cover  (compiled)
    """A whole number as INT8, clipped to [-127, 127]."""
    return np.int8(min(max(value, _F32(-127.0)), _F32(127.0)))


@compiled(
    "void(float32[:,::1], int8[:,::1], float32[::1], intp, boolean, uint32, uint32)",
    nogil=True,
)
def quantise_rows(  # noqa: PLR0917
    t_RC: Any, q_RC: Any, inverse: Any, axis: Any, stochastic: Any, low: Any, high: Any
) -> None:  # pragma: no cover  (compiled)
    """``q = clip(round(t * inverse))``; an inverse per row (axis 0), per column (1), or for all."""
    rows, columns = t_RC.shape
    for r in range(rows):
        t_C, q_C = t_RC[r], q_RC[r]
        own = inverse[r] if axis == 0 else inverse[0]
        index = _U32(r * columns)
        if axis == 1 and stochastic:
            for c in range(columns):
                u = uniform(index, low, high)
                q_C[c] = clipped(np.floor(t_C[c] * inverse[c] + u))
                index = _U32(index + _U32(1))
        elif axis == 1:
            for c in range(columns):
                q_C[c] = clipped(np.rint(t_C[c] * inverse[c]))
        elif stochastic:
            for c in range(columns):
                u = uniform(index, low, high)
                q_C[c] = clipped(np.floor(t_C[c] * own + u))
                index = _U32(index + _U32(1))
        else:
            for c in range(columns):
                q_C[c] = clipped(np.rint(t_C[c] * own))


# ---- products -------------------------------------------------------------------------------


@numba.njit  # type: ignore[untyped-decorator]
def dot_rows(  # noqa: PLR0917
    h_BK: Any, w_NK: Any, wide_GK: Any, z: Any, first: Any, place: Any
) -> None:  # pragma: no cover  (compiled)
    """``h w^T`` for a group of rows of h from ``first``, into the rows of z from ``place`` on.

    There are as many rows as in ``wide_GK``, INT16 scratch, in which they are widened once for all
    columns. If no whole block is left, the last one is shifted inwards and repeats some sums.
    """
    columns, inner = w_NK.shape
    count = len(wide_GK)
    for r in range(count):
        h_K, wide_K = h_BK[first + r], wide_GK[r]
        for k in range(inner):
            wide_K[k] = np.int16(h_K[k])
    if count < DOT_ROWS or columns < DOT_COLUMNS or inner < LANES:
        for r in range(count):
            for n in range(columns):
                total = np.int32(0)
                for k in range(inner):
                    total = np.int32(total + np.int32(wide_GK[r, k]) * np.int32(w_NK[n, k]))
                z[place + r, n] = total
        return
    for block in range(0, columns, DOT_COLUMNS):
        n = min(block, columns - DOT_COLUMNS)
        for some in range(0, count, DOT_ROWS):
            r = min(some, count - DOT_ROWS)
            dot_block(wide_GK, w_NK, z, r, n, place + r)


@numba.njit  # type: ignore[untyped-decorator]
def pair(upper: Any, lower: Any) -> Any:  # pragma: no cover  (compiled)
    """Two INT8 as the halves of an INT32, the first one in the low half."""
    return np.int32((np.int32(lower) << 16) | (np.int32(upper) & 0xFFFF))


@numba.njit  # type: ignore[untyped-decorator]
def pair_columns(
    a_KR: Any, first: Any, count: Any, pairs_RP: Any
) -> None:  # pragma: no cover  (compiled)
    """Pairs down ``count`` columns of a, from column ``first`` on."""
    inner = len(a_KR)
    for r in range(count):
        for p in range(inner // 2):
            pairs_RP[r, p] = pair(a_KR[2 * p, first + r], a_KR[2 * p + 1, first + r])
        if inner & 1:
            pairs_RP[r, inner // 2] = pair(a_KR[inner - 1, first + r], np.int8(0))


@numba.njit  # type: ignore[untyped-decorator]
def pair_rows(
    a_RK: Any, first: Any, count: Any, pairs_RP: Any
) -> None:  # pragma: no cover  (compiled)
    """Pairs along ``count`` rows of a, from row ``first`` on."""
    inner = a_RK.shape[1]
    for r in range(count):
        for p in range(inner // 2):
            pairs_RP[r, p] = pair(a_RK[first + r, 2 * p], a_RK[first + r, 2 * p + 1])
        if inner & 1:
            pairs_RP[r, inner // 2] = pair(a_RK[first + r, inner - 1], np.int8(0))


@numba.njit  # type: ignore[untyped-decorator]
def spread_rows(
    pairs_RP: Any, b_KN: Any, out: Any, place: Any, count: Any
) -> None:  # pragma: no cover  (compiled)
    """``a b`` for the ``count`` rows of a in ``pairs_RP``, into ``out`` from row ``place`` on."""
    inner, columns = b_KN.shape
    if columns >= LANES and count == SPREAD_ROWS:
        for block in range(0, columns, LANES):
            spread_block(pairs_RP, b_KN, out, min(block, columns - LANES), place)
        return
    for r in range(count):
        out_N = out[place + r]
        out_N[:] = 0
        for k in range(inner):
            word = pairs_RP[r, k >> 1]
            a = np.int32(word >> 16) if k & 1 else np.int32(np.int16(word & 0xFFFF))
            b_N = b_KN[k]
            for n in range(columns):
                out_N[n] = np.int32(out_N[n] + a * np.int32(b_N[n]))


@compiled("void(int8[:,::1], int8[:,::1], int32[:,::1], int16[:,::1])", nogil=True)
def linear(h_BI: Any, w_OI: Any, z_BO: Any, wide_GI: Any) -> None:  # pragma: no cover
    """``z = h w^T``; ``wide_GI`` is scratch of shape (min(GROUP, B), I)."""
    batch, count = len(h_BI), len(wide_GI)
    for group in range(0, batch, count):
        first = min(group, batch - count)
        dot_rows(h_BI, w_OI, wide_GI, z_BO, first, first)


@compiled("void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1])", nogil=True)
def through(d_BO: Any, w_OI: Any, dh_BI: Any, pairs_RP: Any) -> None:  # pragma: no cover
    """``dh = d w``; ``pairs_RP`` is scratch of shape (SPREAD_ROWS, (O + 1) // 2)."""
    batch = len(d_BO)
    count = min(SPREAD_ROWS, batch)
    for block in range(0, batch, SPREAD_ROWS):
        first = min(block, batch - count)
        pair_rows(d_BO, first, count, pairs_RP)
        spread_rows(pairs_RP, w_OI, dh_BI, first, count)


@compiled("void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1])", nogil=True)
def outer(d_BO: Any, h_BI: Any, g_OI: Any, pairs_RP: Any) -> None:  # pragma: no cover
    """``g = d^T h``; ``pairs_RP`` is scratch of shape (SPREAD_ROWS, (B + 1) // 2)."""
    outputs = d_BO.shape[1]
    count = min(SPREAD_ROWS, outputs)
    for block in range(0, outputs, SPREAD_ROWS):
        first = min(block, outputs - count)
        pair_columns(d_BO, first, count, pairs_RP)
        spread_rows(pairs_RP, h_BI, g_OI, first, count)
