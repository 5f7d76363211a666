"""Sums over whole tensors in float64, as exact as float32 can show them; see the compiled module.

:mod:`trainfit.algorithms.numerics.binary.sum_kernels` says why torch's own do not suffice.

Shape suffixes: N elements, R rows, J columns.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.lazy_kernels import sum_kernels
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.phases import Category, tag


def sum_abs(values: torch.Tensor) -> torch.Tensor:
    """Sum of magnitudes, a scalar, without a copy; the only allocation.

    Args:
        values: float32, contiguous, of any shape.
    """
    total = tag(values.new_empty(()), Category.WORKSPACE, "sum of magnitudes")
    sum_magnitudes(values.detach().view(-1), total.view(1))
    return total


@operator("sum_magnitudes(Tensor values_N, Tensor(a!) total_1) -> ()")
def sum_magnitudes(values_N: torch.Tensor, total_1: torch.Tensor) -> None:
    """Write the sum of magnitudes.

    Args:
        values_N: float32, contiguous.
        total_1: float32, one element.
    """
    sum_kernels.sum_abs(values_N.numpy(), total_1.numpy())


@operator("column_means(Tensor values_RJ, Tensor(a!) mean_J) -> ()")
def column_means(values_RJ: torch.Tensor, mean_J: torch.Tensor) -> None:
    """Write the mean of every column.

    Args:
        values_RJ: float32, contiguous.
        mean_J: float32.
    """
    _run(values_RJ, mean_J, mean_J, len(values_RJ))


@operator("column_variances(Tensor values_RJ, Tensor mean_J, Tensor(a!) variance_J) -> ()")
def column_variances(
    values_RJ: torch.Tensor, mean_J: torch.Tensor, variance_J: torch.Tensor
) -> None:
    """Write the mean squared distance of every column from ``mean``; arguments as above."""
    _run(values_RJ, mean_J, variance_J, len(values_RJ), centred=True, squared=True)


@operator("column_squares(Tensor values_RJ, Tensor(a!) squares_J) -> ()")
def column_squares(values_RJ: torch.Tensor, squares_J: torch.Tensor) -> None:
    """Write the sum of squares of every column; arguments as above."""
    _run(values_RJ, squares_J, squares_J, 1, squared=True)


def column_lengths(values_RJ: torch.Tensor) -> torch.Tensor:
    """Euclidean length of every column, float32, shape (J,); the only allocation."""
    length_J = values_RJ.new_empty(values_RJ.shape[1])
    column_squares(values_RJ, length_J)
    return length_J.sqrt_()


def channel_squares(x: torch.Tensor) -> torch.Tensor:
    """Sum of squares of every channel, float32, shape (C,).

    Of maps map by map, whose values lie side by side: across maps torch adds one value after the
    other, which is 0.5 % off at 6 million values per channel, and takes five times as long.

    Args:
        x: Maps (N, C, H, W) or vectors (N, C), float32, contiguous.
    """
    squares_C = tag(x.new_empty(x.shape[1]), Category.WORKSPACE, "squares")
    if x.dim() == 2:
        column_squares(x, squares_C)
    else:
        of_maps_NC = torch.linalg.vector_norm(x, dim=(2, 3)).square_()
        torch.sum(tag(of_maps_NC, Category.WORKSPACE, "squares of maps"), 0, out=squares_C)
    return squares_C


def _run(
    values_RJ: torch.Tensor,
    center_J: torch.Tensor,
    out_J: torch.Tensor,
    divisor: int,
    *,
    centred: bool = False,
    squared: bool = False,
) -> None:
    values, center, out = values_RJ.detach().numpy(), center_J.numpy(), out_J.numpy()
    sum_kernels.columns(values, center, float(divisor), centred, squared, out)
