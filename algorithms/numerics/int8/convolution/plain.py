"""The arithmetic of ``kernels`` and ``depthwise_kernels`` in plain torch.

torch's own convolution of float64, which is exact for sums of INT8 products, a sample at a time.
Its columns are those of a whole sample, eight times as wide: this is for machines without numba's
compiler, and an independent check. See :mod:`.products` for the equations and the suffixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

Pair = tuple[int, int]


def convolution(  # noqa: PLR0917
    x_NCHW: torch.Tensor,
    w_OCHW: torch.Tensor,
    z_NOPQ: torch.Tensor,
    stride: Pair,
    padding: Pair,
    groups: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.convolution.kernels.convolution`."""
    w = _wide(w_OCHW)
    for sample in _samples(x_NCHW):
        x = _wide(x_NCHW[sample])
        z = torch.ops.aten.convolution(x, w, None, stride, padding, (1, 1), False, (0, 0), groups)
        z_NOPQ[sample].copy_(tag(z, Category.WORKSPACE, "sums of a sample"))
        del x, z  # otherwise two samples would be alive in the next iteration


def of_input(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    w_OCHW: torch.Tensor,
    dx_NCHW: torch.Tensor,
    stride: Pair,
    padding: Pair,
    groups: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.convolution.kernels.convolution`."""
    w = _wide(w_OCHW)
    for sample in _samples(d_NOPQ):
        d = _wide(d_NOPQ[sample])
        x = d.new_empty(()).expand(dx_NCHW[sample].shape)  # only its shape is read
        dx = _gradients(d, x, w, (stride, padding, groups), [True, False, False])[0]
        dx_NCHW[sample].copy_(tag(dx, Category.WORKSPACE, "sums of a sample"))
        del d, x, dx


def of_weight(  # noqa: PLR0917
    d_NOPQ: torch.Tensor,
    x_NCHW: torch.Tensor,
    g_OCHW: torch.Tensor,
    first: int,
    stride: Pair,
    padding: Pair,
    groups: int,
) -> None:
    """See :func:`trainfit.algorithms.numerics.int8.convolution.weight_kernels.of_weight`.

    Of the groups that the channels are in, all output channels are computed.
    """
    own, seen = d_NOPQ.shape[1] // groups, g_OCHW.shape[1]
    low, high = first // own, (first + len(g_OCHW) - 1) // own + 1
    start = first - low * own
    g_OCHW.zero_()
    w = g_OCHW.new_empty((), dtype=torch.float64)
    w = w.expand((high - low) * own, *g_OCHW.shape[1:])  # only its shape is read
    for sample in _samples(d_NOPQ):
        d = _wide(d_NOPQ[sample, low * own : high * own])
        x = _wide(x_NCHW[sample, low * seen : high * seen])
        g = _gradients(d, x, w, (stride, padding, high - low), [False, True, False])[1]
        sums = tag(g[start : start + len(g_OCHW)].to(torch.int32), Category.WORKSPACE, "sums")
        g_OCHW.add_(sums)
        del d, x, g, sums


def _samples(maps_NCHW: torch.Tensor) -> Iterator[slice]:
    return in_tiles(len(maps_NCHW), 1)


def _wide(of: torch.Tensor) -> torch.Tensor:
    return tag(of.to(torch.float64), Category.WORKSPACE, "INT8 as float64")


def _gradients(
    d: torch.Tensor,
    x: torch.Tensor,
    w: torch.Tensor,
    windows: tuple[Pair, Pair, int],
    wanted: list[bool],
) -> Any:
    """Of input, weight and bias, of which some are wanted."""
    stride, padding, groups = windows
    return torch.ops.aten.convolution_backward(
        d, x, w, None, stride, padding, (1, 1), False, (0, 0), groups, wanted
    )
