"""Products of INT8 matrices that sum in INT32, compiled with numba.

Each call is for one thread and a range of rows. Nothing here allocates, and the scratch that is
passed has the same size on every processor. Sums of integers are exact, so the blocks of
:mod:`.byte_code`, those of :mod:`.vector_code` and plain loops give the same bits, as does
:mod:`trainfit.algorithms.numerics.int8.torch_kernels`.

Shape suffixes: R rows, B batch, I inputs, O outputs, G rows of a group, K the dimension that is
summed over, N columns, P pairs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8 import byte_code, vector_code
from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS
from trainfit.algorithms.numerics.int8.byte_code import (
    dot_columns,
    four_by_four,
    has_byte_dots,
    spread_columns,
)
from trainfit.algorithms.numerics.int8.vector_code import LANES, dot_block, spread_block

_BYTES = byte_code.BYTES
_BYTE_ROWS, _BYTE_COLUMNS = byte_code.DOT_ROWS, byte_code.DOT_COLUMNS
_WORD_ROWS, _WORD_COLUMNS = vector_code.DOT_ROWS, vector_code.DOT_COLUMNS


# Functions are compiled when a compiled one first calls them, so those with an instruction that the
# processor does not have never are.
_HAS_BYTE_DOTS = has_byte_dots()


# ---- rows by rows ---------------------------------------------------------------------------


@numba.njit  # type: ignore[untyped-decorator]
def _dot_words(  # noqa: PLR0917
    h_BK: Any, w_NK: Any, wide_GK: Any, z: Any, first: Any, place: Any
) -> None:  # pragma: no cover  (compiled)
    columns, inner = w_NK.shape
    count = len(wide_GK)
    for r in range(count):
        h_K, wide_K = h_BK[first + r], wide_GK[r]
        for k in range(inner):
            wide_K[k] = np.int16(h_K[k])
    if count < _WORD_ROWS or columns < _WORD_COLUMNS or inner < LANES:
        for r in range(count):
            for n in range(columns):
                total = np.int32(0)
                for k in range(inner):
                    total = np.int32(total + np.int32(wide_GK[r, k]) * np.int32(w_NK[n, k]))
                z[place + r, n] = total
        return
    for block in range(0, columns, _WORD_COLUMNS):
        n = min(block, columns - _WORD_COLUMNS)
        for some in range(0, count, _WORD_ROWS):
            r = min(some, count - _WORD_ROWS)
            dot_block(wide_GK, w_NK, z, r, n, place + r)


@numba.njit  # type: ignore[untyped-decorator]
def _dot_bytes(  # noqa: PLR0917
    h_BK: Any, w_NK: Any, wide_GK: Any, z: Any, first: Any, place: Any
) -> None:  # pragma: no cover  (compiled)
    columns, inner = w_NK.shape
    count = len(wide_GK)
    if count < _BYTE_ROWS or columns < _BYTE_COLUMNS or inner < _BYTES:
        _dot_words(h_BK, w_NK, wide_GK, z, first, place)
        return
    for some in range(0, count, _BYTE_ROWS):
        r = min(some, count - _BYTE_ROWS)
        dot_columns(h_BK, w_NK, z, first + r, place + r)


dot_rows = _dot_bytes if _HAS_BYTE_DOTS else _dot_words
"""``h w^T`` for a group of rows of h from ``first``, into the rows of z from ``place`` on.

There are as many rows as in ``wide_GK``, INT16 scratch, in which they may be widened once for all
columns. If no whole block is left, the last one is shifted inwards and repeats some sums.
"""


# ---- rows by columns ------------------------------------------------------------------------


@numba.njit  # type: ignore[untyped-decorator]
def _fours(count: Any, columns: Any) -> Any:  # pragma: no cover  (compiled)
    return count == SPREAD_ROWS and columns >= _BYTES


@numba.njit  # type: ignore[untyped-decorator]
def _never(count: Any, columns: Any) -> Any:  # pragma: no cover  (compiled)
    return False


_in_fours = _fours if _HAS_BYTE_DOTS else _never
"""Whether a few rows are multiplied four elements at a time; otherwise, two."""


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _pair(lower: Any, upper: Any) -> Any:  # pragma: no cover  (compiled)
    """Two INT8 as the halves of an INT32, the first one in the low half."""
    return np.int32((np.int32(upper) << 16) | (np.int32(lower) & 0xFFFF))


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def four(a: Any, b: Any, c: Any, d: Any) -> Any:  # pragma: no cover  (compiled)
    """Four INT8 as the bytes of an INT32, the first one the lowest."""
    upper = (np.int32(d) << 24) | ((np.int32(c) & 0xFF) << 16)
    return np.int32(upper | ((np.int32(b) & 0xFF) << 8) | (np.int32(a) & 0xFF))


@numba.njit  # type: ignore[untyped-decorator]
def _pair_columns(
    a_KR: Any, first: Any, count: Any, columns: Any, groups_RP: Any
) -> None:  # pragma: no cover  (compiled)
    inner = len(a_KR)
    for r in range(count):
        for p in range(inner // 2):
            groups_RP[r, p] = _pair(a_KR[2 * p, first + r], a_KR[2 * p + 1, first + r])
        if inner & 1:
            groups_RP[r, inner // 2] = _pair(a_KR[inner - 1, first + r], np.int8(0))


@numba.njit  # type: ignore[untyped-decorator]
def _group_columns(
    a_KR: Any, first: Any, count: Any, columns: Any, groups_RP: Any
) -> None:  # pragma: no cover  (compiled)
    if not _in_fours(count, columns):
        _pair_columns(a_KR, first, count, columns, groups_RP)
        return
    inner = len(a_KR)
    whole = inner - inner % 4
    for k in range(0, whole, 4):
        four_by_four(a_KR, groups_RP, k, first)
    if whole < inner:
        zero = np.int8(0)
        for r in range(count):
            c = first + r
            second = a_KR[whole + 1, c] if whole + 1 < inner else zero
            third = a_KR[whole + 2, c] if whole + 2 < inner else zero
            groups_RP[r, whole // 4] = four(a_KR[whole, c], second, third, zero)


group_columns = _group_columns if _HAS_BYTE_DOTS else _pair_columns
"""``count`` columns of a, from ``first`` on, for a product with ``columns`` columns."""


@numba.njit  # type: ignore[untyped-decorator]
def group_rows(
    a_RK: Any, first: Any, count: Any, columns: Any, groups_RP: Any
) -> None:  # pragma: no cover  (compiled)
    """``count`` rows of a, from ``first`` on, for a product with ``columns`` columns."""
    inner = a_RK.shape[1]
    zero = np.int8(0)
    for r in range(count):
        a_K, groups_P = a_RK[first + r], groups_RP[r]
        if _in_fours(count, columns):
            for q in range(inner // 4):
                k = 4 * q
                groups_P[q] = four(a_K[k], a_K[k + 1], a_K[k + 2], a_K[k + 3])
            k = inner - inner % 4
            if k < inner:
                second = a_K[k + 1] if k + 1 < inner else zero
                third = a_K[k + 2] if k + 2 < inner else zero
                groups_P[k // 4] = four(a_K[k], second, third, zero)
        else:
            for p in range(inner // 2):
                groups_P[p] = _pair(a_K[2 * p], a_K[2 * p + 1])
            if inner & 1:
                groups_P[inner // 2] = _pair(a_K[inner - 1], zero)


@numba.njit  # type: ignore[untyped-decorator]
def _spread_words(
    pairs_RP: Any, b_KN: Any, out: Any, place: Any, count: Any
) -> None:  # pragma: no cover  (compiled)
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


@numba.njit  # type: ignore[untyped-decorator]
def _spread_bytes(
    groups_RP: Any, b_KN: Any, out: Any, place: Any, count: Any
) -> None:  # pragma: no cover  (compiled)
    if _in_fours(count, b_KN.shape[1]):
        spread_columns(groups_RP, b_KN, out, place)
    else:
        _spread_words(groups_RP, b_KN, out, place, count)


spread_rows = _spread_bytes if _HAS_BYTE_DOTS else _spread_words
"""``a b`` for the ``count`` rows of a in ``groups_RP``, into ``out`` from row ``place`` on.

The groups are those of ``group_rows`` or ``group_columns``, for as many rows and columns.
"""


# ---- whole products, for a range of rows ----------------------------------------------------


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int16[:,::1], intp, intp)",
    nogil=True,
)
def linear(  # noqa: PLR0917
    h_BI: Any, w_OI: Any, z_BO: Any, wide_GI: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``z = h w^T``; ``wide_GI`` is scratch of at most as many rows."""
    count = len(wide_GI)
    for group in range(start, stop, count):
        first = min(group, stop - count)
        dot_rows(h_BI, w_OI, wide_GI, z_BO, first, first)


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], intp, intp)",
    nogil=True,
)
def through(  # noqa: PLR0917
    d_BO: Any, w_OI: Any, dh_BI: Any, groups_RP: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``dh = d w``; ``groups_RP`` is scratch of shape (SPREAD_ROWS, (O + 1) // 2)."""
    columns = w_OI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    for block in range(start, stop, SPREAD_ROWS):
        first = min(block, stop - count)
        group_rows(d_BO, first, count, columns, groups_RP)
        spread_rows(groups_RP, w_OI, dh_BI, first, count)


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], intp, intp)",
    nogil=True,
)
def outer(  # noqa: PLR0917
    d_BO: Any, h_BI: Any, g_OI: Any, groups_RP: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``g = d^T h``; ``groups_RP`` is scratch of shape (SPREAD_ROWS, (B + 1) // 2)."""
    columns = h_BI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    for block in range(start, stop, SPREAD_ROWS):
        first = min(block, stop - count)
        group_columns(d_BO, first, count, columns, groups_RP)
        spread_rows(groups_RP, h_BI, g_OI, first, count)
