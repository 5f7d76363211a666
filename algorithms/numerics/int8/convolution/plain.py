"""The arithmetic of ``kernels`` and ``depthwise_kernels`` in plain torch.

One sample is padded at a time; the columns of some rows of its places are a tile, in which a
window's elements are copied one by one for all places. See :mod:`.products` for the equations and
the suffixes; T are the places of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.int8.torch_kernels import product, tile_rows
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles


class _Places(NamedTuple):
    """Windows in one sample, by their strides and extent, and the width of a row of them."""

    stride: tuple[int, int]
    window: tuple[int, int]
    width: int

    def elements(self, padded_CHW: torch.Tensor, rows: slice) -> Iterator[torch.Tensor]:
        """Every element of the windows of some rows of places, (C, P, Q) views of the sample."""
        (down, right), (height, width) = self.stride, self.window
        for i in range(height):
            for j in range(width):
                top = rows.start * down + i
                bottom = top + (rows.stop - rows.start - 1) * down + 1
                yield padded_CHW[:, top:bottom:down, j : j + (self.width - 1) * right + 1 : right]

    def columns(self, padded_CHW: torch.Tensor, rows: slice, room: torch.Tensor) -> torch.Tensor:
        """The columns of these places, (K, T), in the memory of ``room``."""
        channels, elements = len(padded_CHW), self.window[0] * self.window[1]
        deep = rows.stop - rows.start
        inner, places = channels * elements, deep * self.width
        columns = room[: inner * places].view(channels, elements, deep, self.width)
        for k, element_CPQ in enumerate(self.elements(padded_CHW, rows)):
            columns[:, k].copy_(element_CPQ)
        return columns.view(inner, places)


def convolution(  # noqa: PLR0917
    x_NCHW: torch.Tensor,
    w_OCHW: torch.Tensor,
    z_NOPQ: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.convolution.kernels.convolution`."""
    own, seen = len(w_OCHW) // groups, w_OCHW.shape[1]
    inner = w_OCHW[0].numel()
    places, height = _Places(stride, _pair(w_OCHW), z_NOPQ.shape[3]), _height(z_NOPQ, inner)
    room = _room(inner * height * places.width, torch.int8)
    padded_CHW = _padded(x_NCHW, padding)
    for sample in in_tiles(len(x_NCHW), 1):
        _inner(padded_CHW, padding).copy_(x_NCHW[sample.start])
        for g in in_tiles(groups, 1):
            outputs = slice(g.start * own, g.stop * own)
            part_CHW = padded_CHW[g.start * seen : g.stop * seen]
            w_OK = w_OCHW[outputs].view(own, inner)
            z_OPQ = z_NOPQ[sample.start, outputs]
            for rows in in_tiles(z_NOPQ.shape[2], height):
                columns_KT = places.columns(part_CHW, rows, room)
                product(w_OK, columns_KT, z_OPQ[:, rows].flatten(1))


def of_input(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    w_OCHW: torch.Tensor,
    dx_NCHW: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.convolution.kernels.of_input`."""
    own, seen = len(w_OCHW) // groups, w_OCHW.shape[1]
    inner, elements = w_OCHW[0].numel(), w_OCHW[0, 0].numel()
    places, height = _Places(stride, _pair(w_OCHW), d_NOPQ.shape[3]), _height(d_NOPQ, inner)
    room = _room(inner * height * places.width, torch.int32)
    padded_CHW = _padded(dx_NCHW, padding)
    for sample in in_tiles(len(dx_NCHW), 1):
        padded_CHW.zero_()
        for g in in_tiles(groups, 1):
            outputs = slice(g.start * own, g.stop * own)
            part_CHW = padded_CHW[g.start * seen : g.stop * seen]
            w_KO = w_OCHW[outputs].view(own, inner).T
            d_OPQ = d_NOPQ[sample.start, outputs]
            for rows in in_tiles(d_NOPQ.shape[2], height):
                d_OT = d_OPQ[:, rows].flatten(1)
                columns_KT = room[: inner * d_OT.shape[1]].view(inner, -1)
                product(w_KO, d_OT, columns_KT)
                columns = columns_KT.view(seen, elements, -1, places.width)
                for k, element_CPQ in enumerate(places.elements(part_CHW, rows)):
                    element_CPQ.add_(columns[:, k])
        dx_NCHW[sample.start].copy_(_inner(padded_CHW, padding))


def of_weight(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    x_NCHW: torch.Tensor,
    g_OCHW: torch.Tensor,
    first: int,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.convolution.kernels.of_weight`."""
    own, seen = d_NOPQ.shape[1] // groups, g_OCHW.shape[1]
    inner, stop = g_OCHW[0].numel(), first + len(g_OCHW)
    places, height = _Places(stride, _pair(g_OCHW), d_NOPQ.shape[3]), _height(d_NOPQ, inner)
    room = _room(inner * height * places.width, torch.int8)
    sums = _room(min(own, len(g_OCHW)) * inner, torch.int32)
    padded_CHW = _padded(x_NCHW, padding)
    g_OCHW.zero_()
    for sample in in_tiles(len(x_NCHW), 1):
        _inner(padded_CHW, padding).copy_(x_NCHW[sample.start])
        for g in range(first // own, (stop - 1) // own + 1):
            outputs = slice(max(first, g * own), min(stop, (g + 1) * own))
            part_CHW = padded_CHW[g * seen : (g + 1) * seen]
            g_OK = g_OCHW[outputs.start - first : outputs.stop - first].view(-1, inner)
            d_OPQ = d_NOPQ[sample.start, outputs]
            for rows in in_tiles(d_NOPQ.shape[2], height):
                columns_KT = places.columns(part_CHW, rows, room)
                sums_OK = sums[: g_OK.numel()].view(g_OK.shape)
                product(d_OPQ[:, rows].flatten(1), columns_KT.T, sums_OK)
                g_OK.add_(sums_OK)


def _pair(w_OCHW: torch.Tensor) -> tuple[int, int]:
    return w_OCHW.shape[2], w_OCHW.shape[3]


def _height(places_NOPQ: torch.Tensor, inner: int) -> int:
    """Rows of places in a tile."""
    return tile_rows(places_NOPQ.shape[2], inner * places_NOPQ.shape[3])


def _room(elements: int, dtype: torch.dtype) -> torch.Tensor:
    return tag(torch.empty(elements, dtype=dtype), Category.WORKSPACE, "tile of columns")


def _padded(maps_NCHW: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    """Zeros of the size of a sample with its padding."""
    (channels, height, width), (above, beside) = maps_NCHW.shape[1:], padding
    shape = channels, height + 2 * above, width + 2 * beside
    return tag(torch.zeros(shape, dtype=maps_NCHW.dtype), Category.WORKSPACE, "padded sample")


def _inner(padded_CHW: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    """The sample without its padding."""
    above, beside = padding
    _, height, width = padded_CHW.shape
    return padded_CHW[:, above : height - above, beside : width - beside]
