"""The gradient of a convolution's INT8 weight, summed in INT32, compiled with numba.

``LANES`` output channels are summed at once, over four places at every step, so no columns are
needed: the four places of an element of a window are neighbours in a row of the input, which is
laid out with its borders. See :mod:`.products` for the equations and the suffixes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8.convolution import code
from trainfit.algorithms.numerics.int8.convolution.layout_code import lay_row, turn_fours
from trainfit.algorithms.numerics.int8.convolution.sizes import LANES, SCALARS
from trainfit.algorithms.numerics.int8.convolution.sum_code import add_windows
from trainfit.algorithms.numerics.int8.product_kernels import four

_I32 = np.int32
_ROW, _FLIP = code.ROW, np.int8(code.FLIP)


@numba.njit  # type: ignore[untyped-decorator]
def _write_rows(  # noqa: PLR0917
    x_CHW: Any, first: Any, count: Any, top: Any, rows: Any, kh: Any, sh: Any, sw: Any, pw: Any,
    pitch: Any, maps: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Rows of some channels from row ``top`` on, with their borders.

    Of every ``sw`` places the first ones stand together, then the second ones, and so on. Rows that
    no window reads are left out.
    """
    _, height, width = x_CHW.shape
    x, part = x_CHW.reshape(-1), pitch // sw
    maps[:] = _FLIP
    for c in range(count):
        for r in range(rows):
            y, to = top + r, (c * rows + r) * pitch
            if y < 0 or y >= height or r % sh >= kh:
                continue
            at = ((first + c) * height + y) * width
            if sw == 1 and width >= _ROW:
                lay_row(x, at, 1, maps, to + pw, 0, width)
            elif sw == 2 and width >= 2 * _ROW and width % 2 == 0:
                even, odd = pw % 2 * part + pw // 2, (pw + 1) % 2 * part + (pw + 1) // 2
                lay_row(x, at, 2, maps, to + even, to + odd, width)
            else:
                for t in range(width):
                    place = t + pw
                    maps[to + place % sw * part + place // sw] = x[at + t] ^ _FLIP


@numba.njit  # type: ignore[untyped-decorator]
def _write_gradients(  # noqa: PLR0917
    d: Any, at: Any, plane: Any, some: Any, rows: Any, width: Any, fours: Any
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``some`` output channels, four places at a time, 0 beyond the last one."""
    if width % 4 == 0:  # then rows follow each other without a gap
        rows, width = 1, rows * width
    groups, whole, zero = (width + 3) // 4, width // 4, np.int8(0)
    in_blocks = some - some % 4 if whole >= 4 else 0
    for p in range(rows):
        line, first = p * groups * LANES, at + p * width
        for o in range(0, in_blocks, 4):
            for block in range(0, whole, 4):
                q = min(block, whole - 4)
                to = line + q * LANES + o
                turn_fours(d, first + o * plane + 4 * q, plane, fours, to, LANES)
        for o in range(in_blocks, some):
            for q in range(whole):
                k = first + o * plane + 4 * q
                fours[line + q * LANES + o] = four(d[k], d[k + 1], d[k + 2], d[k + 3])
        if whole < groups:
            rest = width - 4 * whole
            for o in range(some):
                k = first + o * plane + 4 * whole
                second = d[k + 1] if rest > 1 else zero
                third = d[k + 2] if rest > 2 else zero
                fours[line + whole * LANES + o] = four(d[k], second, third, zero)


@numba.njit  # type: ignore[untyped-decorator]
def _read_sums(  # noqa: PLR0917
    sums: Any, excess: Any, inner: Any, some: Any, g: Any, to: Any, stride: Any
) -> None:  # pragma: no cover  (compiled)
    """The sums of ``some`` output channels, which lie ``stride`` apart in g."""
    for k in range(inner):
        sums_O = sums[k * LANES : (k + 1) * LANES]
        for o in range(LANES):
            sums_O[o] = _I32(sums_O[o] + excess[o])
    in_blocks = some - some % 4 if inner >= 4 else 0
    for o in range(0, in_blocks, 4):
        for block in range(0, inner, 4):
            k = min(block, inner - 4)
            turn_fours(sums, 4 * (k * LANES + o), 4 * LANES, g, to + o * stride + k, stride)
    for o in range(in_blocks, some):
        for k in range(inner):
            g[to + o * stride + k] = sums[k * LANES + o]


@numba.njit  # type: ignore[untyped-decorator]
def _sum_gradients(  # noqa: PLR0917
    d: Any, first: Any, some: Any, outputs: Any, map_size: Any, excess: Any
) -> None:  # pragma: no cover  (compiled)
    """What the flipped bits of the input have added to the sums of some output channels."""
    samples = len(d) // (outputs * map_size)
    for o in range(some):
        total = _I32(0)
        for n in range(samples):
            at = (n * outputs + first + o) * map_size
            d_T = d[at : at + map_size]
            for t in range(map_size):
                total = _I32(total + _I32(d_T[t]))
        excess[o] = _I32(total * _I32(_FLIP))


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], int8[::1], int32[::1], int32[::1],"
    " int32[::1], intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, intp)",
    nogil=True,
)
def of_weight(  # noqa: PLR0917
    d_NOPQ: Any, x_NCHW: Any, g_OCHW: Any, maps: Any, fours: Any, offsets: Any, sums: Any,
    base: Any, sh: Any, sw: Any, ph: Any, pw: Any, groups: Any, rows: Any, count: Any, most: Any,
    start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Output channels of the gradient of the weight; its first one is channel ``base`` of d.

    ``count`` of them and ``most`` input channels at a time.
    """
    _, seen, kh, kw = g_OCHW.shape
    outputs, window, own = d_NOPQ.shape[1], kh * kw, d_NOPQ.shape[1] // groups
    height, width = d_NOPQ.shape[2], d_NOPQ.shape[3]
    d, map_size = d_NOPQ.reshape(-1), height * width
    g_flat, steps = g_OCHW.reshape(-1), (width + 3) // 4
    part = (x_NCHW.shape[3] + 2 * pw + sw - 1) // sw
    pitch, tall = part * sw, (rows - 1) * sh + kh
    size, excess = rows * steps * LANES, offsets[len(offsets) - LANES :]
    for g in range((base + start) // own, (base + stop - 1) // own + 1):
        low, high = max(base + start, g * own), min(base + stop, (g + 1) * own)
        for block in range(low, high, count):
            end = min(block + count, high)
            fours[:] = 0
            for channel in range(0, seen, most):
                many = min(most, seen - channel)
                inner = many * window
                whole = (inner + SCALARS - 1) // SCALARS * SCALARS
                for k in range(whole):
                    e = min(k, inner - 1)
                    line, j = (e // window * tall + e // kw % kh) * pitch, e % kw
                    offsets[k] = line + j % sw * part + j // sw
                sums[:] = 0
                for n in range(len(d_NOPQ)):
                    x_CHW = x_NCHW[n, g * seen : (g + 1) * seen]
                    for top in range(0, height, rows):
                        deep, y = min(rows, height - top), top * sh - ph
                        _write_rows(x_CHW, channel, many, y, tall, kh, sh, sw, pw, pitch, maps)
                        for o in range(block, end, LANES):
                            at = (n * outputs + o) * map_size + top * width
                            number = (o - block) // LANES
                            own_fours = fours[number * size : (number + 1) * size]
                            own_sums = sums[number * whole * LANES :]
                            some = min(LANES, end - o)
                            _write_gradients(d, at, map_size, some, deep, width, own_fours)
                            for k in range(0, whole, SCALARS):
                                add_windows(
                                    own_fours, maps, offsets, own_sums, k, deep, steps, sh * pitch
                                )  # fmt: skip
                for o in range(block, end, LANES):
                    some = min(LANES, end - o)
                    _sum_gradients(d, o, some, outputs, map_size, excess)
                    own_sums = sums[(o - block) // LANES * whole * LANES :]
                    to = ((o - base) * seen + channel) * window
                    _read_sums(own_sums, excess, inner, some, g_flat, to, seen * window)
