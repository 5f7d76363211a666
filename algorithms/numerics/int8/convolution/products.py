"""Convolutions of INT8 maps, summed in INT32: the product, and the gradients of both operands.

With windows of a stride and a padding, in groups of channels that do not see each other::

    z[n, o, p] = sum_k w[o, k] x~[n, k, p]     dx~[n, k, p] = sum_o w[o, k] d[n, o, p]
                                               g[o, k] = sum_np d[n, o, p] x~[n, k, p]

x~ are columns: for every place p of the result the k elements of its window. They never exist as a
whole. For a product, those of some rows of places, of one sample and some channels, are written
into a tile, four channels side by side, and multiplied with the weights of some output channels.
The gradient of the input is the same with the windows turned round. That of the weight needs no
columns (:mod:`.weight_kernels`). With one input channel per group (depthwise) there is no product
of matrices, and no tile: elements are added up directly.

A sum of up to 2^17 products cannot overflow: of the weights of a filter going forward, of its
output channels and window for the gradient of the input, and of batch and places for that of the
weight. ``most_rows`` says what that allows.

Shape suffixes: N batch, C input and O output channels, H and W height and width of the input, P
and Q those of the result, K elements of a window in all channels of a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8.convolution import plain
from trainfit.algorithms.numerics.int8.convolution.scratch import Sums, Tiles
from trainfit.algorithms.numerics.int8.convolution.sizes import LANES
from trainfit.algorithms.numerics.int8.convolution.windows import Windows, in_line, in_rows
from trainfit.algorithms.numerics.lazy_kernels import int8_convolution_kernels as compiled
from trainfit.algorithms.numerics.lazy_kernels import int8_depthwise_kernels as depthwise
from trainfit.algorithms.numerics.lazy_kernels import int8_weight_kernels as weight_kernels
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.options import Int8Kernel

MOST_TERMS = 1 << 17
"""Products of INT8 from -127 to 127 that can be added up in INT32, whatever they are."""


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
    x, z = (in_line(maps, w_OCHW, windows) for maps in (x_NCHW, z_NOPQ))
    _, channels, kh, kw = w_OCHW.shape
    _, _, height, width = z.shape
    how = Tiles.of(channels, len(w_OCHW) // windows.groups, kh * kw, (height, width))
    line = x.shape[3] + 2 * windows.padding[1]
    parts = _sample_parts(z_NOPQ, w_OCHW) if channels > 1 else []
    tiles, weights, lines = how.tensors(len(parts), kh * kw, width, line)
    int8_convolution_into(x_NCHW, w_OCHW, z_NOPQ, *windows, *how, tiles, weights, lines)
    return z_NOPQ


@operator(
    "int8_convolution(Tensor x_NCHW, Tensor w_OCHW, Tensor(a!) z_NOPQ, int[] stride, int[] padding,"
    " int groups, int rows, int count, int most, Tensor(b!)[] scratch_tiles,"
    " Tensor(c!)[] scratch_weights, Tensor(d!)[] scratch_lines) -> ()"
)
def int8_convolution_into(  # noqa: PLR0917
    x_NCHW: torch.Tensor,
    w_OCHW: torch.Tensor,
    z_NOPQ: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
    rows: int,
    count: int,
    most: int,
    scratch_tiles: list[torch.Tensor],
    scratch_weights: list[torch.Tensor],
    scratch_lines: list[torch.Tensor],
) -> None:
    """``int8_convolution`` with memory for its result and each thread's scratch; see ``Tiles``."""
    windows = Windows(_pair(stride), _pair(padding), groups)
    x, z = (in_line(maps, w_OCHW, windows) for maps in (x_NCHW, z_NOPQ))
    parts, operands = _sample_parts(z_NOPQ, w_OCHW), (x, w_OCHW, z)
    places = *stride, *padding
    if not scratch_tiles:
        threads.call(depthwise.depthwise, parts, operands, [()] * len(parts), places)
        return
    scratch = list(zip(scratch_tiles, scratch_weights, scratch_lines, strict=True))
    rest = *places, groups, rows, count, most, False
    threads.call(compiled.convolution, parts, operands, scratch, rest)


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
    d, dx = (in_line(maps, w_OCHW, windows) for maps in (d_NOPQ, dx_NCHW))
    _, channels, kh, kw = w_OCHW.shape
    # Places that see the same elements of a window are a map of their own.
    (sh, sw), (_, pw), groups = windows
    window, height, width = (
        -(-kh // sh) * -(-kw // sw),
        -(-dx.shape[2] // sh),
        -(-dx.shape[3] // sw),
    )
    how = Tiles.of(len(w_OCHW) // groups, channels, window, (height, width))
    line = max(d.shape[3], width) + max(kw, pw) + 1
    parts = _sample_parts(d_NOPQ, w_OCHW) if channels > 1 else []
    tiles, weights, lines = how.tensors(len(parts), window, width, line)
    int8_convolution_input_into(d_NOPQ, w_OCHW, dx_NCHW, *windows, *how, tiles, weights, lines)
    return dx_NCHW


@operator(
    "int8_convolution_input(Tensor d_NOPQ, Tensor w_OCHW, Tensor(a!) dx_NCHW, int[] stride,"
    " int[] padding, int groups, int rows, int count, int most, Tensor(b!)[] scratch_tiles,"
    " Tensor(c!)[] scratch_weights, Tensor(d!)[] scratch_lines) -> ()"
)
def int8_convolution_input_into(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    w_OCHW: torch.Tensor,
    dx_NCHW: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    groups: int,
    rows: int,
    count: int,
    most: int,
    scratch_tiles: list[torch.Tensor],
    scratch_weights: list[torch.Tensor],
    scratch_lines: list[torch.Tensor],
) -> None:
    """``int8_convolution_input`` with memory for its result and each thread's scratch."""
    windows = Windows(_pair(stride), _pair(padding), groups)
    d, dx = (in_line(maps, w_OCHW, windows) for maps in (d_NOPQ, dx_NCHW))
    parts, operands = _sample_parts(d_NOPQ, w_OCHW), (d, w_OCHW, dx)
    places = *stride, *padding
    if not scratch_tiles:
        threads.call(depthwise.depthwise_input, parts, operands, [()] * len(parts), places)
        return
    scratch = list(zip(scratch_tiles, scratch_weights, scratch_lines, strict=True))
    rest = *places, groups, rows, count, most, True
    threads.call(compiled.convolution, parts, operands, scratch, rest)


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
    d, x = (in_rows(of, g_OCHW, windows) for of in (d_NOPQ, x_NCHW))
    (step, sw), (_, pw), groups = windows
    pitch, width = -(-(x.shape[3] + 2 * pw) // sw) * sw, d.shape[3]
    how = Sums.of(min(count, d.shape[1] // groups), g_OCHW.shape, (d.shape[2], width), pitch, step)
    parts = _channel_parts(d_NOPQ, g_OCHW) if seen > 1 else []
    scratch = how.tensors(len(parts), g_OCHW.shape, width, pitch, step)
    first = channels.start
    int8_convolution_weight_into(d_NOPQ, x_NCHW, g_OCHW, first, *windows, *how, *scratch)
    return g_OCHW


@operator(
    "int8_convolution_weight(Tensor d_NOPQ, Tensor x_NCHW, Tensor(a!) g_OCHW, int first,"
    " int[] stride, int[] padding, int groups, int rows, int count, int most,"
    " Tensor(b!)[] scratch_maps, Tensor(c!)[] scratch_fours, Tensor(d!)[] scratch_offsets,"
    " Tensor(e!)[] scratch_sums) -> ()"
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
    count: int,
    most: int,
    scratch_maps: list[torch.Tensor],
    scratch_fours: list[torch.Tensor],
    scratch_offsets: list[torch.Tensor],
    scratch_sums: list[torch.Tensor],
) -> None:
    """``int8_convolution_weight`` for the channels from ``first`` on, with each thread's scratch.

    Every thread has channels of its own, and lays out the rows that they see; see ``Sums``.
    """
    windows = Windows(_pair(stride), _pair(padding), groups)
    d, x = (in_rows(of, g_OCHW, windows) for of in (d_NOPQ, x_NCHW))
    parts, operands = _channel_parts(d_NOPQ, g_OCHW), (d, x, g_OCHW)
    places = first, *stride, *padding, groups
    if not scratch_maps:
        threads.call(depthwise.depthwise_weight, parts, operands, [()] * len(parts), places)
        return
    scratch = list(zip(scratch_maps, scratch_fours, scratch_offsets, scratch_sums, strict=True))
    rest = *places, rows, count, most
    threads.call(weight_kernels.of_weight, parts, operands, scratch, rest)


# ---- maps, and parts of the work ------------------------------------------------------------


def _pair(numbers: Sequence[int]) -> tuple[int, int]:
    first, second = numbers
    return first, second


def _sample_parts(places_NOPQ: torch.Tensor, w_OCHW: torch.Tensor) -> list[threads.Part]:
    """The samples for each thread."""
    work = places_NOPQ.numel() * math.prod(w_OCHW.shape[1:])
    return threads.parts_of(len(places_NOPQ), 1, work)


def _channel_parts(d_NOPQ: torch.Tensor, g_OCHW: torch.Tensor) -> list[threads.Part]:
    """The output channels for each thread, counted from the first."""
    work = g_OCHW.numel() * len(d_NOPQ) * math.prod(d_NOPQ.shape[2:])
    return threads.parts_of(len(g_OCHW), LANES, work)
