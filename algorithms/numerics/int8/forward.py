"""Products of quantised activations and weights with a bias, in float32.

Shape suffixes: B and N batch, I inputs, O outputs or output channels, C input channels of a group,
H and W height and width of the input, P and Q those of the result.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.int8.convolution.products import int8_convolution
from trainfit.algorithms.numerics.int8.convolution.windows import Windows
from trainfit.algorithms.numerics.int8.products import int8_linear
from trainfit.algorithms.numerics.int8.scaled import Quantised, rescale_
from trainfit.algorithms.options import Int8Kernel


def quantised_linear(
    h: Quantised, weight: Quantised, b_O: torch.Tensor | None, kernel: Int8Kernel
) -> torch.Tensor:
    """``z = h w^T + b``, shape (B, O), from h of shape (B, I) and w of shape (O, I)."""
    z_BO = rescale_(int8_linear(h.q, weight.q, kernel=kernel), h.scale, weight.scale)
    return z_BO if b_O is None else z_BO.add_(b_O)


def quantised_convolution(
    h: Quantised,
    weight: Quantised,
    b_O: torch.Tensor | None,
    windows: Windows,
    kernel: Int8Kernel,
) -> torch.Tensor:
    """``z = w * h + b``, shape (N, O, P, Q), from h of (N, C, H, W) and w of (O, C, H, W)."""
    z_NOPQ = rescaled_maps(int8_convolution(h.q, weight.q, windows, kernel), h.scale, weight.scale)
    return z_NOPQ if b_O is None else z_NOPQ.add_(b_O[:, None, None])


def rescaled_maps(sums: torch.Tensor, scale: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``scale other sums``, float32, in the memory of INT32 sums of four dimensions.

    Args:
        sums: int32, overwritten.
        scale: One scale, or one for each element of the first dimension.
        other: Another scale.
    """
    return rescale_(sums.flatten(1), scale, other).view(sums.shape)
