"""Convolutions of INT8 maps that sum in INT32, and gradients of their input, with numba.

Each call is for one thread and a range of samples. Nothing here allocates; see :mod:`.products` for
the equations, the tiles and the suffixes. Sums of integers are exact, so :mod:`.plain` gives the
same bits.

The gradient of the input is a convolution, too: of the result's gradient with the windows turned
round. With a stride of s, places whose coordinates leave the same rest when divided by s see the
same elements of a window, and are a map of their own.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.int8.convolution import code
from trainfit.algorithms.numerics.int8.convolution.layout_code import copy_fours, lay_fours
from trainfit.algorithms.numerics.int8.convolution.sizes import LANES, SCALARS
from trainfit.algorithms.numerics.int8.convolution.sum_code import sum_places
from trainfit.algorithms.numerics.int8.product_kernels import four

_I32 = np.int32
_ROW = code.ROW
_FLIP = np.int32(code.FLIP)
_FLIPS = np.int32(-0x7F7F7F80 if code.FLIP else 0)  # in every byte


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _lay_fours(  # noqa: PLR0917
    x: Any, at: Any, plane: Any, last: Any, out: Any, to: Any, count: Any
) -> None:  # pragma: no cover  (compiled)
    if count >= _ROW:
        lay_fours(x, at, plane, last, out, to, count)
    else:
        b, c, d = min(1, last) * plane, min(2, last) * plane, min(3, last) * plane
        for t in range(count):
            k = at + t
            out[to + t] = four(x[k], x[k + b], x[k + c], x[k + d]) ^ _FLIPS


@numba.njit  # type: ignore[untyped-decorator]
def _write_tile(  # noqa: PLR0917
    x_CHW: Any, kh: Any, kw: Any, sh: Any, sw: Any, ph: Any, pw: Any, top: Any, rows: Any,
    across: Any, row: Any, tile: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """The columns of ``rows`` rows of places from row ``top`` on, channels in fours.

    Every four has a line for each place of the window; ``row`` is a row of the input with its
    borders.
    """
    channels, height, width = x_CHW.shape
    x, plane, places = x_CHW.reshape(-1), height * width, rows * across
    in_line = kh == 1 and kw == 1 and sh == 1 and sw == 1 and ph == 0 and pw == 0
    in_line = in_line and across == width and top + rows <= height
    margin = max(0, pw)
    for c in range(0, channels, 4):
        last, line = min(3, channels - 1 - c), c // 4 * kh * kw * places
        if in_line:
            _lay_fours(x, c * plane + top * width, plane, last, tile, line, places)
            continue
        for i in range(kh):
            for r in range(rows):
                y, to = (top + r) * sh + i - ph, line + i * kw * places + r * across
                if y < 0 or y >= height:
                    for j in range(kw):
                        tile[to + j * places : to + j * places + across] = _FLIPS
                    continue
                _lay_fours(x, c * plane + y * width, plane, last, row, margin, width)
                for j in range(kw):
                    first, line_to = margin - pw + j, to + j * places
                    if across >= _ROW and sw <= 2:
                        copy_fours(row, first, sw, tile, line_to, across)
                    else:
                        for t in range(across):
                            tile[line_to + t] = row[first + t * sw]


@numba.njit  # type: ignore[untyped-decorator]
def _write_weights(  # noqa: PLR0917
    w: Any, at: Any, row_step: Any, count: Any, channel_step: Any, channels: Any, kh: Any, kw: Any,
    down: Any, across: Any, fours: Any, starts: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """``count`` rows of weights in the order of the tile's columns, and to whole blocks.

    Steps are those from a row, channel or place of the window to the next in w. ``starts`` takes
    off what the flipped bits add to the sums.
    """
    window, zero = kh * kw, np.int8(0)
    groups = (channels + 3) // 4 * window
    for r in range((count + SCALARS - 1) // SCALARS * SCALARS):
        total = _I32(0)
        for c in range(0, channels, 4):
            many = channels - c
            for i in range(kh):
                for j in range(kw):
                    k = at + min(r, count - 1) * row_step + c * channel_step + i * down + j * across
                    first = w[k]
                    second = w[k + channel_step] if many > 1 else zero
                    third = w[k + 2 * channel_step] if many > 2 else zero
                    fourth = w[k + 3 * channel_step] if many > 3 else zero
                    total = _I32(total + first + second + third + fourth)
                    to = r * groups + c // 4 * window + i * kw + j
                    fours[to] = four(first, second, third, fourth)
        starts[r] = _I32(total * _FLIP)


@numba.njit  # type: ignore[untyped-decorator]
def _sum_tile(  # noqa: PLR0917
    tile: Any, fours: Any, starts: Any, some: Any, steps: Any, deep: Any, width: Any, z: Any,
    at: Any, map_size: Any, line: Any, step: Any, fresh: Any, sums: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """The sums of ``some`` rows of weights for a tile, written or (not ``fresh``) added.

    In z they are ``map_size`` apart from row to row, ``line`` from a row of places to the next, and
    ``step`` from place to place.
    """
    places = deep * width
    in_line = step == 1 and line == width
    for o in range(0, some, SCALARS):
        last = min(SCALARS, some - o) - 1
        for first in range(0, places, LANES):
            t = max(0, min(first, places - LANES))
            new = fresh or (t == first and last == SCALARS - 1)
            to = at + o * map_size
            if in_line and new and places >= LANES:
                sum_places(
                    tile, fours, starts, z, t, places, steps, o, to + t, map_size, last, fresh
                )  # fmt: skip
                continue
            sum_places(tile, fours, starts, sums, t, places, steps, o, 0, LANES, last, 1)
            for place in range(first, min(first + LANES, places)):
                near = to + place // width * line + place % width * step
                for r in range(last + 1):
                    total = sums[r * LANES + place - t]
                    if not fresh:
                        total = _I32(total + z[near + r * map_size])
                    z[near + r * map_size] = total


@compiled(
    "void(int8[:,:,:,::1], int8[:,:,:,::1], int32[:,:,:,::1], int32[::1], int32[::1], int32[::1],"
    " intp, intp, intp, intp, intp, intp, intp, intp, boolean, intp, intp)",
    nogil=True,
)
def convolution(  # noqa: PLR0917
    x_NCHW: Any, w_OCHW: Any, z_NOPQ: Any, tile: Any, fours: Any, row: Any,
    sh: Any, sw: Any, ph: Any, pw: Any, groups: Any, rows: Any, count: Any, most: Any, turned: Any,
    start: Any, stop: Any,
) -> None:  # pragma: no cover  (compiled)  # fmt: skip
    """Samples of ``z = w * x``, or with ``turned`` windows the input's gradient z by that x.

    ``count`` channels of z and ``most`` of x are gone through at a time.
    """
    _, seen, kh, kw = w_OCHW.shape
    window = kh * kw
    results, summed = z_NOPQ.shape[1] // groups, x_NCHW.shape[1] // groups
    height, width = z_NOPQ.shape[2], z_NOPQ.shape[3]
    w, z, map_size = w_OCHW.reshape(-1), z_NOPQ.reshape(-1), height * width
    starts, sums = fours[len(fours) - count :], row[len(row) - SCALARS * LANES :]
    if turned and (kh < sh or kw < sw):  # there are places that no window sees
        z_NOPQ[start:stop] = 0
    down, across = (min(sh, height), min(sw, width)) if turned else (1, 1)
    for part in range(down * across):
        # The places y, x; y, x + across; ... see the windows from element i, j on, every other.
        y, x = part // across, part % across
        if turned:
            i, j = (y + ph) % sh, (x + pw) % sw
            tall, wide = (kh - i + sh - 1) // sh, (kw - j + sw - 1) // sw
            if tall <= 0 or wide <= 0:
                continue
            above, beside = tall - 1 - (y + ph) // sh, wide - 1 - (x + pw) // sw
            first_of_window = (i + (tall - 1) * sh) * kw + j + (wide - 1) * sw
            row_step, channel_step, i_step, j_step = window, seen * window, -sh * kw, -sw
            on_y, on_x, z_line, z_step = 1, 1, sh * width, sw
            deepest, wide_z = (height - y + sh - 1) // sh, (width - x + sw - 1) // sw
        else:
            tall, wide, above, beside, first_of_window = kh, kw, ph, pw, 0
            row_step, channel_step, i_step, j_step = seen * window, window, kw, 1
            on_y, on_x, z_line, z_step = sh, sw, width, 1
            deepest, wide_z = height, width
        row[: len(row) - SCALARS * LANES] = _FLIPS
        for g in range(groups):
            of_group = g * (results if not turned else summed) * seen * window + first_of_window
            for block in range(0, results, count):
                some = min(count, results - block)
                for channel in range(0, summed, most):
                    many = min(most, summed - channel)
                    steps = (many + 3) // 4 * tall * wide
                    at = of_group + block * row_step + channel * channel_step
                    _write_weights(
                        w, at, row_step, some, channel_step, many, tall, wide, i_step, j_step,
                        fours, starts,
                    )  # fmt: skip
                    low = g * summed + channel
                    for n in range(start, stop):
                        to = (n * groups * results + g * results + block) * map_size + y * width + x
                        for top in range(0, deepest, rows):
                            deep = min(rows, deepest - top)
                            x_CHW = x_NCHW[n, low : low + many]
                            _write_tile(
                                x_CHW, tall, wide, on_y, on_x, above, beside, top, deep, wide_z,
                                row, tile,
                            )  # fmt: skip
                            _sum_tile(
                                tile, fours, starts, some, steps, deep, wide_z, z,
                                to + top * z_line, map_size, z_line, z_step, channel == 0, sums,
                            )  # fmt: skip
