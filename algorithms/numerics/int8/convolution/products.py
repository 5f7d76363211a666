"""Convolutions of INT8 maps, summed in INT32: the product, and the gradients of both operands.

With windows of a stride and a padding, in groups of channels that do not see each other::

    z[n, o, p] = sum_k w[o, k] x~[n, k, p]     dx~[n, k, p] = sum_o w[o, k] d[n, o, p]
                                               g[o, k] = sum_np d[n, o, p] x~[n, k, p]

x~ are columns: for every place p of the result the k elements of its window. They never exist as a
whole. Some rows of places of one sample and group are written into a tile, multiplied as matrices
are (:mod:`trainfit.algorithms.numerics.int8.product_kernels`), and overwritten by the next; columns
of a gradient are added to where they came from, four rows at a time. With one input channel per
group (depthwise) there is no product of matrices, and no tile: elements are added up directly.

A sum of up to 2^17 products cannot overflow: of the weights of a filter going forward, of its
output channels and window for the gradient of the input, and of batch and places for that of the
weight. ``most_rows`` says what that allows.

Shape suffixes: N batch, C input and O output channels, H and W height and width of the input, P
and Q those of the result, K elements of a window in all channels of a group, R rows of a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8.blocks import GROUP, SPREAD_ROWS
from trainfit.algorithms.numerics.int8.convolution import plain
from trainfit.algorithms.numerics.int8.products import pairs_of
from trainfit.algorithms.numerics.lazy_kernels import int8_convolution_kernels as compiled
from trainfit.algorithms.numerics.lazy_kernels import int8_depthwise_kernels as depthwise
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.options import Int8Kernel
from trainfit.algorithms.phases import Category, tag

MOST_TERMS = 1 << 17
"""Products of INT8 from -127 to 127 that can be added up in INT32, whatever they are."""

_TILE = 16384
"""Bytes of a tile, if ``_LEAST`` places and a row of places fit into it."""

_LEAST = 64
"""Places that a tile has at least, for fewer of which kernels would be slower."""


class Windows(NamedTuple):
    """Where the windows of a convolution lie.

    Attributes:
        stride: Steps between them, down and to the right.
        padding: Zeros above and below, and on both sides.
        groups: Parts of the channels that do not see each other.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1

    def result(self, x_NCHW: torch.Tensor, w_OCHW: torch.Tensor) -> torch.Size:
        """The shape of a convolution's result, (N, O, P, Q)."""
        height, width = (
            (extent + 2 * border - window) // step + 1
            for extent, border, window, step in zip(
                x_NCHW.shape[2:], self.padding, w_OCHW.shape[2:], self.stride, strict=True
            )
        )
        return torch.Size((len(x_NCHW), len(w_OCHW), height, width))


def most_rows(places: int) -> int:
    """The largest batch for which no gradient of a weight can overflow, with so many places."""
    return MOST_TERMS // places


# ---- the product ----------------------------------------------------------------------------


def int8_convolution(
    x_NCHW: torch.Tensor,
    w_OCHW: torch.Tensor,
    windows: Windows,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> torch.Tensor:
    """``z = w * x``, int32, shape (N, O, P, Q).

    Args:
        x_NCHW: int8, contiguous.
        w_OCHW: int8, contiguous; C is that of a group.
        windows: Where they lie.
        kernel: Implementation; no influence on the result.
    """
    z_NOPQ = torch.empty(windows.result(x_NCHW, w_OCHW), dtype=torch.int32)
    if kernel is Int8Kernel.TORCH:
        plain.convolution(x_NCHW, w_OCHW, z_NOPQ, *windows)
        return z_NOPQ
    tiles, pairs, sums = [], [], []
    inner = w_OCHW[0].numel()
    rows = _rows_of(z_NOPQ, inner)
    for _ in _sample_parts(z_NOPQ, w_OCHW) if w_OCHW.shape[1] > 1 else ():
        tiles.append(_tile(inner, rows, z_NOPQ))
        pairs.append(pairs_of(inner))
        sums.append(_sums(SPREAD_ROWS, rows * z_NOPQ.shape[3]))
    int8_convolution_into(x_NCHW, w_OCHW, z_NOPQ, *windows, rows, tiles, pairs, sums)
    return z_NOPQ


@operator(
    "int8_convolution(Tensor x_NCHW, Tensor w_OCHW, Tensor(a!) z_NOPQ, int[] stride, int[] padding,"
    " int groups, int rows, Tensor(b!)[] scratch_tiles, Tensor(c!)[] scratch_pairs,"
    " Tensor(d!)[] scratch_sums) -> ()"
)
def int8_convolution_into(  # noqa: PLR0917
    x_NCHW: torch.Tensor,
    w_OCHW: torch.Tensor,
    z_NOPQ: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
    rows: int,
    scratch_tiles: list[torch.Tensor],
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``int8_convolution`` with memory for its result and each thread's tile of ``rows`` rows."""
    parts, operands = _sample_parts(z_NOPQ, w_OCHW), (x_NCHW, w_OCHW, z_NOPQ)
    places = *stride, *padding
    if not scratch_tiles:
        threads.call(depthwise.depthwise, parts, operands, [()] * len(parts), places)
        return
    scratch = list(zip(scratch_tiles, scratch_pairs, scratch_sums, strict=True))
    threads.call(compiled.convolution, parts, operands, scratch, (*places, groups, rows))


# ---- the gradient of the input --------------------------------------------------------------


def int8_convolution_input(
    d_NOPQ: torch.Tensor,
    w_OCHW: torch.Tensor,
    shape: torch.Size,
    windows: Windows,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> torch.Tensor:
    """The gradient of the input, int32, of ``shape`` (N, C, H, W).

    Args:
        d_NOPQ: int8, contiguous, the gradient of the result.
        w_OCHW: int8, contiguous.
        shape: Of the input.
        windows: Where they lie.
        kernel: Implementation; no influence on the result.
    """
    dx_NCHW = torch.empty(shape, dtype=torch.int32)
    if kernel is Int8Kernel.TORCH:
        plain.of_input(d_NOPQ, w_OCHW, dx_NCHW, *windows)
        return dx_NCHW
    tiles, pairs, sums = [], [], []
    inner = len(w_OCHW) // windows.groups
    rows = _rows_of(d_NOPQ, inner)
    for _ in _sample_parts(d_NOPQ, w_OCHW) if w_OCHW.shape[1] > 1 else ():
        tiles.append(_tile(inner, rows, d_NOPQ))
        pairs.append(pairs_of(inner))
        sums.append(_sums(SPREAD_ROWS, rows * d_NOPQ.shape[3]))
    int8_convolution_input_into(d_NOPQ, w_OCHW, dx_NCHW, *windows, rows, tiles, pairs, sums)
    return dx_NCHW


@operator(
    "int8_convolution_input(Tensor d_NOPQ, Tensor w_OCHW, Tensor(a!) dx_NCHW, int[] stride,"
    " int[] padding, int groups, int rows, Tensor(b!)[] scratch_tiles,"
    " Tensor(c!)[] scratch_pairs, Tensor(d!)[] scratch_sums) -> ()"
)
def int8_convolution_input_into(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    w_OCHW: torch.Tensor,
    dx_NCHW: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
    rows: int,
    scratch_tiles: list[torch.Tensor],
    scratch_pairs: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``int8_convolution_input`` with memory for its result and each thread's scratch."""
    parts, operands = _sample_parts(d_NOPQ, w_OCHW), (d_NOPQ, w_OCHW, dx_NCHW)
    places = *stride, *padding
    if not scratch_tiles:
        threads.call(depthwise.depthwise_input, parts, operands, [()] * len(parts), places)
        return
    scratch = list(zip(scratch_tiles, scratch_pairs, scratch_sums, strict=True))
    threads.call(compiled.of_input, parts, operands, scratch, (*places, groups, rows))


# ---- the gradient of the weight -------------------------------------------------------------


def int8_convolution_weight(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    x_NCHW: torch.Tensor,
    window: tuple[int, int],
    channels: slice,
    windows: Windows,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> torch.Tensor:
    """The gradient of the weights of some output channels, int32, shape (O, C, H, W) of a weight.

    Args:
        d_NOPQ: int8, contiguous, the gradient of the result.
        x_NCHW: int8, contiguous, the input.
        window: Height and width of a weight.
        channels: Which output channels; O is their number.
        windows: Where they lie.
        kernel: Implementation; no influence on the result.
    """
    count, seen = channels.stop - channels.start, x_NCHW.shape[1] // windows.groups
    g_OCHW = torch.empty(count, seen, *window, dtype=torch.int32)
    if kernel is Int8Kernel.TORCH:
        plain.of_weight(d_NOPQ, x_NCHW, g_OCHW, channels.start, *windows)
        return g_OCHW
    tiles, some, wide, sums = [], [], [], []
    inner = g_OCHW[0].numel()
    rows = _rows_of(d_NOPQ, inner)
    height, width = min(GROUP, count), rows * d_NOPQ.shape[3]
    for _ in _channel_parts(d_NOPQ, g_OCHW) if seen > 1 else ():
        tiles.append(_tile(inner, rows, d_NOPQ))
        some.append(_scratch(height, width, torch.int8, "rows of a gradient"))
        wide.append(_scratch(height, width, torch.int16, "INT8 as INT16"))
        sums.append(_sums(height, inner))
    first = channels.start
    int8_convolution_weight_into(
        d_NOPQ, x_NCHW, g_OCHW, first, *windows, rows, tiles, some, wide, sums
    )
    return g_OCHW


@operator(
    "int8_convolution_weight(Tensor d_NOPQ, Tensor x_NCHW, Tensor(a!) g_OCHW, int first,"
    " int[] stride, int[] padding, int groups, int rows, Tensor(b!)[] scratch_tiles,"
    " Tensor(c!)[] scratch_rows, Tensor(d!)[] scratch_wide, Tensor(e!)[] scratch_sums) -> ()"
)
def int8_convolution_weight_into(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    x_NCHW: torch.Tensor,
    g_OCHW: torch.Tensor,
    first: int,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
    rows: int,
    scratch_tiles: list[torch.Tensor],
    scratch_rows: list[torch.Tensor],
    scratch_wide: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``int8_convolution_weight`` for the channels from ``first`` on, with each thread's scratch.

    Every thread has channels of its own, and writes the columns that they see.
    """
    parts, operands = _channel_parts(d_NOPQ, g_OCHW), (d_NOPQ, x_NCHW, g_OCHW)
    places = first, *stride, *padding, groups
    if not scratch_tiles:
        threads.call(depthwise.depthwise_weight, parts, operands, [()] * len(parts), places)
        return
    scratch = list(zip(scratch_tiles, scratch_rows, scratch_wide, scratch_sums, strict=True))
    threads.call(compiled.of_weight, parts, operands, scratch, (*places, rows))


# ---- tiles, and parts of the work -----------------------------------------------------------


def _rows_of(places_NOPQ: torch.Tensor, inner: int) -> int:
    """Rows of places of a tile in which every place has ``inner`` bytes."""
    height, width = places_NOPQ.shape[2:]
    return min(height, max(1, max(_LEAST, _TILE // inner) // width))


def _sample_parts(places_NOPQ: torch.Tensor, w_OCHW: torch.Tensor) -> list[threads.Part]:
    """The samples for each thread."""
    work = places_NOPQ.numel() * math.prod(w_OCHW.shape[1:])
    return threads.parts_of(len(places_NOPQ), 1, work)


def _channel_parts(d_NOPQ: torch.Tensor, g_OCHW: torch.Tensor) -> list[threads.Part]:
    """The output channels for each thread, counted from the first."""
    work = g_OCHW.numel() * len(d_NOPQ) * math.prod(d_NOPQ.shape[2:])
    return threads.parts_of(len(g_OCHW), GROUP, work)


def _tile(inner: int, rows: int, places_NOPQ: torch.Tensor) -> torch.Tensor:
    return _scratch(inner, rows * places_NOPQ.shape[3], torch.int8, "tile of columns")


def _sums(rows: int, columns: int) -> torch.Tensor:
    return _scratch(rows, columns, torch.int32, "INT32 sums of a few rows")


def _scratch(rows: int, columns: int, dtype: torch.dtype, label: str) -> torch.Tensor:
    """Memory of which a kernel uses as much as it needs from the start, so it has one dimension."""
    return tag(torch.empty(rows * columns, dtype=dtype), Category.WORKSPACE, label)
