"""Convolutions of INT8 maps with one input channel per group, compiled: sums without columns.

See :mod:`.products` for the equations and the suffixes. Every element of a window is gone through
for all its places, in parts of rows whose indices are known not to be negative: so vectors are
used.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled

_I32 = np.int32


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def inside(extent: Any, shift: Any, step: Any, count: Any) -> Any:  # pragma: no cover  (compiled)
    """The first of ``count`` places t with ``0 <= step t + shift < extent``, and one past the last.

    If there is none, both are equal.
    """
    first = min(count, (step - 1 - shift) // step) if shift < 0 else 0
    stop = min(count, (extent - shift + step - 1) // step) if shift < extent else 0
    return first, max(first, stop)


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], intp, intp, intp, intp, intp, intp)",
    nogil=True,
)
def depthwise(  # noqa: PLR0917
    x_NCHW: Any, w_OCHW: Any, z_NOPQ: Any, sh: Any, sw: Any, ph: Any, pw: Any,
    start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Samples of ``z = w * x``."""
    outputs, _, kh, kw = w_OCHW.shape
    _, channels, height, width = x_NCHW.shape
    down, across = z_NOPQ.shape[2], z_NOPQ.shape[3]
    for n in range(start, stop):
        for o in range(outputs):
            z_PQ, x_HW = z_NOPQ[n, o], x_NCHW[n, o // (outputs // channels)]
            z_PQ[:] = 0
            for i in range(kh):
                for j in range(kw):
                    factor, shift = _I32(w_OCHW[o, 0, i, j]), j - pw
                    first, last = inside(width, shift, sw, across)
                    top, bottom = inside(height, i - ph, sh, down)
                    for p in range(top, bottom if last > first else top):
                        x_T = x_HW[p * sh + i - ph, first * sw + shift :]
                        z_T = z_PQ[p, first:last]
                        if sw == 1:
                            for t in range(last - first):
                                z_T[t] = _I32(z_T[t] + factor * _I32(x_T[t]))
                        else:
                            for t in range(last - first):
                                z_T[t] = _I32(z_T[t] + factor * _I32(x_T[t * sw]))


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], intp, intp, intp, intp, intp, intp)",
    nogil=True,
)
def depthwise_input(  # noqa: PLR0917
    d_NOPQ: Any, w_OCHW: Any, dx_NCHW: Any, sh: Any, sw: Any, ph: Any, pw: Any,
    start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Samples of the gradient of the input."""
    outputs, _, kh, kw = w_OCHW.shape
    _, channels, height, width = dx_NCHW.shape
    down, across = d_NOPQ.shape[2], d_NOPQ.shape[3]
    for n in range(start, stop):
        dx_NCHW[n] = 0
        for o in range(outputs):
            d_PQ, dx_HW = d_NOPQ[n, o], dx_NCHW[n, o // (outputs // channels)]
            for i in range(kh):
                for j in range(kw):
                    factor, shift = _I32(w_OCHW[o, 0, i, j]), j - pw
                    first, last = inside(width, shift, sw, across)
                    top, bottom = inside(height, i - ph, sh, down)
                    for p in range(top, bottom if last > first else top):
                        dx_T = dx_HW[p * sh + i - ph, first * sw + shift :]
                        d_T = d_PQ[p, first:last]
                        if sw == 1:
                            for t in range(last - first):
                                dx_T[t] = _I32(dx_T[t] + factor * _I32(d_T[t]))
                        else:
                            for t in range(last - first):
                                dx_T[t * sw] = _I32(dx_T[t * sw] + factor * _I32(d_T[t]))


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], intp, intp, intp, intp, intp, intp,"
    " intp, intp)",
    nogil=True,
)
def depthwise_weight(  # noqa: PLR0917
    d_NOPQ: Any, x_NCHW: Any, g_OCHW: Any, base: Any, sh: Any, sw: Any, ph: Any, pw: Any,
    groups: Any, start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Output channels of the gradient of the weight; its first one is channel ``base`` of d."""
    _, _, kh, kw = g_OCHW.shape
    _, _, height, width = x_NCHW.shape
    down, across = d_NOPQ.shape[2], d_NOPQ.shape[3]
    own = d_NOPQ.shape[1] // groups
    for o in range(start, stop):
        for i in range(kh):
            for j in range(kw):
                shift = j - pw
                first, last = inside(width, shift, sw, across)
                top, bottom = inside(height, i - ph, sh, down)
                total = _I32(0)
                for n in range(len(d_NOPQ)):
                    d_PQ, x_HW = d_NOPQ[n, base + o], x_NCHW[n, (base + o) // own]
                    for p in range(top, bottom if last > first else top):
                        x_T = x_HW[p * sh + i - ph, first * sw + shift :]
                        d_T = d_PQ[p, first:last]
                        if sw == 1:
                            for t in range(last - first):
                                total = _I32(total + _I32(d_T[t]) * _I32(x_T[t]))
                        else:
                            for t in range(last - first):
                                total = _I32(total + _I32(d_T[t]) * _I32(x_T[t * sw]))
                g_OCHW[o, 0, i, j] = total
