"""Convolutions of INT8 maps that sum in INT32, compiled with numba.

Each call is for one thread and a range of samples or output channels. Nothing here allocates; see
:mod:`.products` for the equations, the tiles and the suffixes. Sums of integers are exact, so
:mod:`.plain` gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8.blocks import GROUP, SPREAD_ROWS
from trainfit.algorithms.numerics.int8.convolution.depthwise_kernels import inside
from trainfit.algorithms.numerics.int8.product_kernels import (
    dot_rows,
    group_columns,
    group_rows,
    spread_rows,
)

_I32 = np.int32


@numba.njit  # type: ignore[untyped-decorator]
def _write_columns(  # noqa: PLR0917
    x_CHW: Any, kh: Any, kw: Any, sh: Any, sw: Any, ph: Any, pw: Any, top: Any, rows: Any,
    columns_KT: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """The columns of ``rows`` rows of places from row ``top`` on, a row for every element k."""
    channels, height, width = x_CHW.shape
    across = columns_KT.shape[1] // rows
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                line_T = columns_KT[(c * kh + i) * kw + j]
                shift = j - pw
                first, stop = inside(width, shift, sw, across)
                for r in range(rows):
                    y, at = (top + r) * sh + i - ph, r * across
                    if y < 0 or y >= height or first == stop:
                        line_T[at : at + across] = 0
                        continue
                    # Parts of rows, whose indices are known not to be negative: vectors are used.
                    x_T = x_CHW[c, y, first * sw + shift :]
                    inside_T = line_T[at + first : at + stop]
                    for t in range(first):
                        line_T[at + t] = 0
                    if sw == 1:
                        for t in range(stop - first):
                            inside_T[t] = x_T[t]
                    else:
                        for t in range(stop - first):
                            inside_T[t] = x_T[t * sw]
                    for t in range(at + stop, at + across):
                        line_T[t] = 0


@numba.njit  # type: ignore[untyped-decorator]
def _add_columns(  # noqa: PLR0917
    line_T: Any, dx_CHW: Any, k: Any, kh: Any, kw: Any, sh: Any, sw: Any, ph: Any, pw: Any,
    top: Any, rows: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Add one row of columns of a gradient to where these columns come from."""
    _, height, width = dx_CHW.shape
    across = len(line_T) // rows
    c, i, shift = k // (kh * kw), k // kw % kh, k % kw - pw
    first, stop = inside(width, shift, sw, across)
    for r in range(rows):
        y, at = (top + r) * sh + i - ph, r * across
        if y < 0 or y >= height or first == stop:
            continue
        dx_T = dx_CHW[c, y, first * sw + shift :]
        inside_T = line_T[at + first : at + stop]
        if sw == 1:
            for t in range(stop - first):
                dx_T[t] = _I32(dx_T[t] + inside_T[t])
        else:
            for t in range(stop - first):
                dx_T[t * sw] = _I32(dx_T[t * sw] + inside_T[t])


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], int8[::1], int32[:,::1], int32[::1],"
    " intp, intp, intp, intp, intp, intp, intp, intp)",
    nogil=True,
)
def convolution(  # noqa: PLR0917
    x_NCHW: Any, w_OCHW: Any, z_NOPQ: Any, tile: Any, pairs_RP: Any, sums: Any,
    sh: Any, sw: Any, ph: Any, pw: Any, groups: Any, rows: Any, start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Samples of ``z = w * x``."""
    outputs, seen, kh, kw = w_OCHW.shape
    inner, own = seen * kh * kw, outputs // groups
    w_OK = w_OCHW.reshape(outputs, inner)
    height, width = z_NOPQ.shape[2], z_NOPQ.shape[3]
    z_NOT = z_NOPQ.reshape(len(z_NOPQ), outputs, height * width)
    count = min(SPREAD_ROWS, own)
    for n in range(start, stop):
        for g in range(groups):
            x_CHW = x_NCHW[n, g * seen : (g + 1) * seen]
            for top in range(0, height, rows):
                deep = min(rows, height - top)
                across = deep * width
                columns_KT = tile[: inner * across].reshape(inner, across)
                _write_columns(x_CHW, kh, kw, sh, sw, ph, pw, top, deep, columns_KT)
                sums_RT = sums[: count * across].reshape(count, across)
                for block in range(g * own, (g + 1) * own, count):
                    o = min(block, (g + 1) * own - count)
                    group_rows(w_OK, o, count, across, pairs_RP)
                    spread_rows(pairs_RP, columns_KT, sums_RT, 0, count)
                    for r in range(count):
                        z_NOT[n, o + r, top * width : top * width + across] = sums_RT[r]


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], int8[::1], int32[:,::1], int32[::1],"
    " intp, intp, intp, intp, intp, intp, intp, intp)",
    nogil=True,
)
def of_input(  # noqa: PLR0917
    d_NOPQ: Any, w_OCHW: Any, dx_NCHW: Any, tile: Any, pairs_RP: Any, sums: Any,
    sh: Any, sw: Any, ph: Any, pw: Any, groups: Any, rows: Any, start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Samples of the gradient of the input; the tile holds gradients of some rows of places."""
    outputs, seen, kh, kw = w_OCHW.shape
    inner, own = seen * kh * kw, outputs // groups
    w_OK = w_OCHW.reshape(outputs, inner)
    height, width = d_NOPQ.shape[2], d_NOPQ.shape[3]
    d_NOT = d_NOPQ.reshape(len(d_NOPQ), outputs, height * width)
    count = min(SPREAD_ROWS, inner)
    for n in range(start, stop):
        dx_NCHW[n] = 0
        for g in range(groups):
            w_DK = w_OK[g * own : (g + 1) * own]
            dx_CHW = dx_NCHW[n, g * seen : (g + 1) * seen]
            for top in range(0, height, rows):
                deep = min(rows, height - top)
                across = deep * width
                d_DT = tile[: own * across].reshape(own, across)
                for o in range(own):
                    d_DT[o] = d_NOT[n, g * own + o, top * width : top * width + across]
                sums_RT = sums[: count * across].reshape(count, across)
                for block in range(0, inner, count):
                    k = min(block, inner - count)
                    group_columns(w_DK, k, count, across, pairs_RP)
                    spread_rows(pairs_RP, d_DT, sums_RT, 0, count)
                    for r in range(block - k, count):
                        _add_columns(
                            sums_RT[r], dx_CHW, k + r, kh, kw, sh, sw, ph, pw, top, deep
                        )  # fmt: skip


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], int8[::1], int8[::1], int16[::1],"
    " int32[::1], intp, intp, intp, intp, intp, intp, intp, intp, intp)",
    nogil=True,
)
def of_weight(  # noqa: PLR0917
    d_NOPQ: Any, x_NCHW: Any, g_OCHW: Any, tile: Any, some: Any, wide: Any, sums: Any, base: Any,
    sh: Any, sw: Any, ph: Any, pw: Any, groups: Any, rows: Any, start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Output channels of the gradient of the weight; its first one is channel ``base`` of d."""
    count_of_all, seen, kh, kw = g_OCHW.shape
    inner, own = seen * kh * kw, d_NOPQ.shape[1] // groups
    g_OK = g_OCHW.reshape(count_of_all, inner)
    height, width = d_NOPQ.shape[2], d_NOPQ.shape[3]
    d_NOT = d_NOPQ.reshape(len(d_NOPQ), d_NOPQ.shape[1], height * width)
    g_OK[start:stop] = 0
    for n in range(len(d_NOPQ)):
        for g in range((base + start) // own, (base + stop - 1) // own + 1):
            low, high = max(base + start, g * own), min(base + stop, (g + 1) * own)
            count = min(GROUP, high - low)
            x_CHW = x_NCHW[n, g * seen : (g + 1) * seen]
            sums_RK = sums[: count * inner].reshape(count, inner)
            for top in range(0, height, rows):
                deep = min(rows, height - top)
                across = deep * width
                columns_KT = tile[: inner * across].reshape(inner, across)
                _write_columns(x_CHW, kh, kw, sh, sw, ph, pw, top, deep, columns_KT)
                d_RT = some[: count * across].reshape(count, across)
                wide_RT = wide[: count * across].reshape(count, across)
                for block in range(low, high, count):
                    o = min(block, high - count)
                    for r in range(count):
                        d_RT[r] = d_NOT[n, o + r, top * width : top * width + across]
                    dot_rows(d_RT, columns_KT, wide_RT, sums_RK, 0, 0)
                    for r in range(block - o, count):
                        g_K, sums_K = g_OK[o + r - base], sums_RK[r]
                        for k in range(inner):
                            g_K[k] = _I32(g_K[k] + sums_K[k])
