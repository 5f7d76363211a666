"""A layer's INT8 activations and gradients, compiled, without any whole INT32 or float32 matrix.

The INT32 sums of a product are in a few rows of scratch, passed by the caller, until they are
rounded to INT8. :mod:`trainfit.algorithms.numerics.int8.torch_layer` is the same in plain torch;
both give the same bits.

Shape suffixes: B rows of activations, I inputs and O outputs of a layer, G rows of a group,
R rows of a block, P pairs.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS
from trainfit.algorithms.numerics.int8.product_kernels import dot_rows, group_rows, spread_rows
from trainfit.algorithms.numerics.int8.rounding_kernels import clipped, uniform

_U32 = np.uint32
_F32 = np.float32
_SMALLEST = _F32(2.0**-126)
_LEVELS = _F32(127.0)


@numba.njit  # type: ignore[untyped-decorator]
def as_float(bits: Any) -> Any:  # pragma: no cover  (compiled)
    """The float32 with these bits.

    As integers, the bits of positive numbers have the order of the numbers, and those of all other
    numbers are smaller: so the largest is found among integers, eight at a time.
    """
    return np.int32(bits).view(np.float32)


@compiled(
    "void(int8[:,::1], float32[::1], int8[:,::1], float32[::1], float32[::1], int16[:,::1],"
    " int32[:,::1], boolean, uint32, uint32, int8[:,::1], float32[::1], float32[::1], intp, intp)",
    nogil=True,
)
def forward(  # noqa: PLR0917
    h_BI: Any,
    hs_B: Any,
    w_OI: Any,
    ws_O: Any,
    b_O: Any,
    wide_GI: Any,
    z_GO: Any,
    stochastic: Any,
    low: Any,
    high: Any,
    q_BO: Any,
    s_B: Any,
    squares_B: Any,
    start: Any,
    stop: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``y = max(0, z)``, each rounded to ``s q``, and the sum of q squared.

    ``z[b, o] = hs[b] ws[o] (h w^T)[b, o] + b[o]``.
    """
    outputs = q_BO.shape[1]
    zero = _F32(0.0)
    count = len(wide_GI)
    for group in range(start, stop, count):
        first = min(group, stop - count)
        dot_rows(h_BI, w_OI, wide_GI, z_GO, first, 0)
        for r in range(count):
            b = first + r
            own, z_O, q_O = hs_B[b], z_GO[r], q_BO[b]
            highest = np.int32(0)
            for o in range(outputs):
                y = _F32(z_O[o]) * ws_O[o] * own + b_O[o]
                highest = max(highest, np.float32(y).view(np.int32))
            scale = as_float(highest) / _LEVELS
            inverse = _F32(1.0) / max(scale, _SMALLEST)
            index = _U32(b * outputs)
            if stochastic:
                for o in range(outputs):
                    y = max(zero, _F32(z_O[o]) * ws_O[o] * own + b_O[o])
                    q_O[o] = clipped(np.floor(y * inverse + uniform(index, low, high)))
                    index = _U32(index + _U32(1))
            else:
                for o in range(outputs):
                    y = max(zero, _F32(z_O[o]) * ws_O[o] * own + b_O[o])
                    q_O[o] = clipped(np.rint(y * inverse))
            total = np.int32(0)
            for o in range(outputs):
                total = np.int32(total + np.int32(q_O[o]) * np.int32(q_O[o]))
            s_B[b] = scale
            squares_B[b] = _F32(total)


@numba.njit  # type: ignore[untyped-decorator]
def _bias_gradient(g_BO: Any, scale_B: Any, db_O: Any) -> None:  # pragma: no cover  (compiled)
    """``db = sum over b of scale g``, in double precision: eight sums at a time, row by row."""
    batch, outputs = g_BO.shape
    whole = outputs - outputs % 8
    for o in range(0, whole, 8):
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
        for b in range(batch):
            g_O, scale = g_BO[b], scale_B[b]
            a0 += np.float64(_F32(g_O[o]) * scale)
            a1 += np.float64(_F32(g_O[o + 1]) * scale)
            a2 += np.float64(_F32(g_O[o + 2]) * scale)
            a3 += np.float64(_F32(g_O[o + 3]) * scale)
            a4 += np.float64(_F32(g_O[o + 4]) * scale)
            a5 += np.float64(_F32(g_O[o + 5]) * scale)
            a6 += np.float64(_F32(g_O[o + 6]) * scale)
            a7 += np.float64(_F32(g_O[o + 7]) * scale)
        db_O[o], db_O[o + 1], db_O[o + 2], db_O[o + 3] = a0, a1, a2, a3
        db_O[o + 4], db_O[o + 5], db_O[o + 6], db_O[o + 7] = a4, a5, a6, a7
    for o in range(whole, outputs):
        total = 0.0
        for b in range(batch):
            total += np.float64(_F32(g_BO[b, o]) * scale_B[b])
        db_O[o] = total


@compiled(
    "void(int8[:,::1], float32[::1], float32[::1], boolean, uint32, uint32, int8[:,::1],"
    " float32[::1])",
    nogil=True,
)
def rescale(  # noqa: PLR0917
    g_BO: Any,
    ratio_B: Any,
    scale_B: Any,
    stochastic: Any,
    low: Any,
    high: Any,
    d_BO: Any,
    db_O: Any,
) -> None:  # pragma: no cover  (compiled)
    """``d = round(ratio g)``, and the bias gradient ``db = sum over b of scale g``."""
    batch, outputs = g_BO.shape
    _bias_gradient(g_BO, scale_B, db_O)
    for b in range(batch):
        g_O, d_O, ratio = g_BO[b], d_BO[b], ratio_B[b]
        index = _U32(b * outputs)
        if stochastic:
            for o in range(outputs):
                u = uniform(index, low, high)
                d_O[o] = clipped(np.floor(_F32(g_O[o]) * ratio + u))
                index = _U32(index + _U32(1))
        else:
            for o in range(outputs):
                d_O[o] = clipped(np.rint(_F32(g_O[o]) * ratio))


@compiled(
    "void(float32[:,::1], int64[::1], intp, float32, float32, boolean, uint32, uint32,"
    " int8[:,::1], float32[::1])",
    nogil=True,
)
def labelled(  # noqa: PLR0917
    x_BI: Any,
    class_B: Any,
    classes: Any,
    height: Any,
    least: Any,
    stochastic: Any,
    low: Any,
    high: Any,
    q_BI: Any,
    squares_B: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows in INT8 with a label of ``height`` over the first inputs, and the sum of q squared.

    Every row's scale is at least ``least``, that of the label.
    """
    batch, inputs = x_BI.shape
    for b in range(batch):
        x_I, q_I = x_BI[b], q_BI[b]
        highest = np.int32(0)
        for i in range(inputs):
            highest = max(highest, np.float32(abs(x_I[i])).view(np.int32))
        inverse = _F32(1.0) / max(as_float(highest) / _LEVELS, least)
        index = _U32(b * inputs)
        if stochastic:
            for i in range(inputs):
                q_I[i] = clipped(np.floor(x_I[i] * inverse + uniform(index, low, high)))
                index = _U32(index + _U32(1))
        else:
            for i in range(inputs):
                q_I[i] = clipped(np.rint(x_I[i] * inverse))
        for c in range(classes):
            q_I[c] = np.int8(0)
        q_I[class_B[b]] = clipped(np.rint(inverse * height))
        total = np.int32(0)
        for i in range(inputs):
            total = np.int32(total + np.int32(q_I[i]) * np.int32(q_I[i]))
        squares_B[b] = _F32(total)


@numba.njit  # type: ignore[untyped-decorator]
def _round_row(  # noqa: PLR0917
    t: Any, q: Any, stochastic: Any, index: Any, low: Any, high: Any
) -> Any:  # pragma: no cover  (compiled)
    """``t = s q`` for one row; returns s."""
    highest = np.int32(0)
    for i in range(len(t)):
        highest = max(highest, np.float32(abs(t[i])).view(np.int32))
    scale = as_float(highest) / _LEVELS
    inverse = _F32(1.0) / max(scale, _SMALLEST)
    if stochastic:
        for i in range(len(t)):
            q[i] = clipped(np.floor(t[i] * inverse + uniform(index, low, high)))
            index = _U32(index + _U32(1))
    else:
        for i in range(len(t)):
            q[i] = clipped(np.rint(t[i] * inverse))
    return scale


@compiled(
    "void(int8[:,::1], int8[:,::1], int32[:,::1], int32[:,::1], float32[:,::1], int8[:,::1],"
    " float32[::1], float32[::1], float32[::1], float32[::1], float32, boolean, uint32, uint32,"
    " uint32, uint32, int8[:,::1], float32[::1], int8[:,::1], float32[::1], intp, intp)",
    nogil=True,
)
def back(  # noqa: PLR0917
    e_BO: Any,
    w_OI: Any,
    groups_RP: Any,
    dh_RI: Any,
    row_2I: Any,
    q_BI: Any,
    squares_B: Any,
    local_B: Any,
    later_B: Any,
    fold_I: Any,
    weight: Any,
    stochastic: Any,
    low: Any,
    high: Any,
    low_below: Any,
    high_below: Any,
    g_BI: Any,
    gs_B: Any,
    below_BI: Any,
    below_s_B: Any,
    start: Any,
    stop: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows of a gradient through the layer above, their normalisation and this layer's rectifier.

    ``v = later (e w - q (q . e w) / squares)`` where q > 0, else 0; ``t = local q`` is the local
    gradient. The outputs are ``g = t + weight v`` for this layer's weights and, if ``below`` has
    rows, ``below = fold (t + v)`` for the layer below, both in INT8 with a scale per row.
    """
    inputs = q_BI.shape[1]
    count = min(SPREAD_ROWS, stop - start)
    zero = _F32(0.0)
    for block in range(start, stop, SPREAD_ROWS):
        first = min(block, stop - count)
        group_rows(e_BO, first, count, inputs, groups_RP)
        spread_rows(groups_RP, w_OI, dh_RI, 0, count)
        for r in range(count):
            b = first + r
            q_I, dh_I, local, later = q_BI[b], dh_RI[r], local_B[b], later_B[b]
            along = np.int64(0)
            for i in range(inputs):
                along += np.int64(q_I[i]) * np.int64(dh_I[i])
            share = _F32(along) / squares_B[b]
            mine_I, below_I = row_2I[0], row_2I[1]
            for i in range(inputs):
                q = _F32(q_I[i])
                v = (_F32(dh_I[i]) - q * share) * later if q > zero else zero
                mine_I[i] = q * local + weight * v
                below_I[i] = (q * local + v) * fold_I[i]
            index = _U32(b * inputs)
            gs_B[b] = _round_row(mine_I, g_BI[b], stochastic, index, low, high)
            if len(below_BI):
                below_s_B[b] = _round_row(
                    below_I, below_BI[b], stochastic, index, low_below, high_below
                )
