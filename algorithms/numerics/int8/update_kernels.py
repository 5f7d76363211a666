"""Updates of weights by a product of INT8 matrices, compiled; a few rows of sums at a time.

:mod:`trainfit.algorithms.numerics.int8.torch_update` is the same in plain torch; both give the same
bits.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, R rows of a block,
P pairs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8.blocks import DOUBLINGS, SPREAD_ROWS
from trainfit.algorithms.numerics.int8.layer_kernels import as_float
from trainfit.algorithms.numerics.int8.product_kernels import group_columns, spread_rows
from trainfit.algorithms.numerics.int8.rounding_kernels import clipped, uniform

_U32 = np.uint32
_F32 = np.float32
_LEVELS = _F32(127.0)
_HALF = _F32(63.0)


@numba.njit  # type: ignore[untyped-decorator]
def _sum_rows(  # noqa: PLR0917
    d_BO: Any, h_BI: Any, groups_RP: Any, g_RI: Any, first: Any, count: Any
) -> Any:  # pragma: no cover  (compiled)
    """``count`` rows of ``d^T h`` from ``first`` on, which is returned, into ``g_RI``."""
    group_columns(d_BO, first, count, h_BI.shape[1], groups_RP)
    spread_rows(groups_RP, h_BI, g_RI, 0, count)
    return first


@numba.njit  # type: ignore[untyped-decorator]
def _move_row(  # noqa: PLR0917
    w_I: Any, g_I: Any, rate: Any, start: Any, low: Any, high: Any, moved_I: Any
) -> Any:  # pragma: no cover  (compiled)
    """``moved = round(w + rate g)``; returns the largest magnitude before rounding."""
    highest = np.int32(0)
    index = _U32(start)
    for i in range(len(w_I)):
        t = _F32(w_I[i]) + _F32(g_I[i]) * rate
        highest = max(highest, np.float32(abs(t)).view(np.int32))
        moved_I[i] = clipped(np.floor(t + uniform(index, low, high)))
        index = _U32(index + _U32(1))
    return as_float(highest)


@numba.njit  # type: ignore[untyped-decorator]
def _move_row_rescaled(  # noqa: PLR0917
    w_I: Any, g_I: Any, rate: Any, factor: Any, start: Any, low: Any, high: Any, moved_I: Any
) -> None:  # pragma: no cover  (compiled)
    """``moved = round(factor (w + rate g))``."""
    index = _U32(start)
    for i in range(len(w_I)):
        t = (_F32(w_I[i]) + _F32(g_I[i]) * rate) * factor
        moved_I[i] = clipped(np.floor(t + uniform(index, low, high)))
        index = _U32(index + _U32(1))


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], int8[::1], int8[:,::1],"
    " float32[::1], float32, uint32, uint32, intp, intp)",
    nogil=True,
)
def update_int8(  # noqa: PLR0917
    d_BO: Any,
    h_BI: Any,
    groups_RP: Any,
    g_RI: Any,
    moved_I: Any,
    w_OI: Any,
    ws_O: Any,
    step: Any,
    low: Any,
    high: Any,
    start: Any,
    stop: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``ws w += step d^T h``, rounded stochastically; ws doubles or halves if needed."""
    inputs = w_OI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    for block in range(start, stop, SPREAD_ROWS):
        first = _sum_rows(d_BO, h_BI, groups_RP, g_RI, min(block, stop - count), count)
        for r in range(block - first, count):
            o = first + r
            w_I, g_I = w_OI[o], g_RI[r]
            rate = step / ws_O[o]
            most = _move_row(w_I, g_I, rate, o * inputs, low, high, moved_I)
            factor = _F32(1.0)
            for _ in range(DOUBLINGS):
                if most * factor > _LEVELS:
                    factor = factor * _F32(0.5)
            if _F32(0.0) < most <= _HALF:
                factor = _F32(2.0)
            if factor != _F32(1.0):
                _move_row_rescaled(w_I, g_I, rate, factor, o * inputs, low, high, moved_I)
            for i in range(inputs):
                w_I[i] = moved_I[i]
            ws_O[o] = ws_O[o] / factor


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _moved(
    w: Any, scale: Any, sums: Any, factor: Any, rate: Any
) -> Any:  # pragma: no cover  (compiled)
    """``scale w + rate factor sums``; rounded after every operation, as torch does it."""
    return _F32(w) * scale + _F32(sums) * factor * rate


@compiled(
    "float32(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], int8[:,::1], float32, float32,"
    " float32, intp, intp)",
    nogil=True,
)
def moved_range(  # noqa: PLR0917
    d_BO: Any,
    h_BI: Any,
    groups_RP: Any,
    g_RI: Any,
    w_OI: Any,
    scale: Any,
    factor: Any,
    rate: Any,
    start: Any,
    stop: Any,
) -> Any:  # pragma: no cover  (compiled)
    """The largest magnitude of rows of ``scale w + rate factor d^T h``."""
    inputs = w_OI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    highest = np.int32(0)
    for block in range(start, stop, SPREAD_ROWS):
        first = _sum_rows(d_BO, h_BI, groups_RP, g_RI, min(block, stop - count), count)
        for r in range(block - first, count):
            w_I, g_I = w_OI[first + r], g_RI[r]
            for i in range(inputs):
                t = _moved(w_I[i], scale, g_I[i], factor, rate)
                highest = max(highest, np.float32(abs(t)).view(np.int32))
    return as_float(highest)


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], int8[:,::1], float32, float32,"
    " float32, float32, boolean, uint32, uint32, intp, intp)",
    nogil=True,
)
def move_int8(  # noqa: PLR0917
    d_BO: Any,
    h_BI: Any,
    groups_RP: Any,
    g_RI: Any,
    w_OI: Any,
    scale: Any,
    factor: Any,
    rate: Any,
    inverse: Any,
    stochastic: Any,
    low: Any,
    high: Any,
    start: Any,
    stop: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``w = round(inverse (scale w + rate factor d^T h))``."""
    inputs = w_OI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    for block in range(start, stop, SPREAD_ROWS):
        first = _sum_rows(d_BO, h_BI, groups_RP, g_RI, min(block, stop - count), count)
        for r in range(block - first, count):
            w_I, g_I = w_OI[first + r], g_RI[r]
            if stochastic:
                index = _U32((first + r) * inputs)
                for i in range(inputs):
                    t = _moved(w_I[i], scale, g_I[i], factor, rate) * inverse
                    w_I[i] = clipped(np.floor(t + uniform(index, low, high)))
                    index = _U32(index + _U32(1))
            else:
                for i in range(inputs):
                    t = _moved(w_I[i], scale, g_I[i], factor, rate) * inverse
                    w_I[i] = clipped(np.rint(t))


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], float32[:,::1], float32[:,::1],"
    " float32, float32, float32, intp, intp)",
    nogil=True,
)
def update_fp32(  # noqa: PLR0917
    d_BO: Any,
    h_BI: Any,
    groups_RP: Any,
    g_RI: Any,
    w_OI: Any,
    m_OI: Any,
    scale: Any,
    momentum: Any,
    rate: Any,
    start: Any,
    stop: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``m = momentum m + scale d^T h; w -= rate m``; without rows, m is not kept."""
    inputs = w_OI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    for block in range(start, stop, SPREAD_ROWS):
        first = _sum_rows(d_BO, h_BI, groups_RP, g_RI, min(block, stop - count), count)
        for r in range(block - first, count):
            w_I, g_I = w_OI[first + r], g_RI[r]
            if len(m_OI):
                m_I = m_OI[first + r]
                for i in range(inputs):
                    moved = m_I[i] * momentum + _F32(g_I[i]) * scale
                    m_I[i] = moved
                    w_I[i] = w_I[i] - moved * rate
            else:
                for i in range(inputs):
                    w_I[i] = w_I[i] - _F32(g_I[i]) * scale * rate
