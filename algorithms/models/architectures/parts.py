"""Parts that several architectures are made of."""

from __future__ import annotations

from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Layer,
    Nonlinearity,
)

SMALL = 64
"""Extent of an image up to which a net made for 224x224 keeps the resolution in its first layers.

Otherwise nothing would be left of an image of CIFAR-10 in its last ones.
"""


def same(kernel: int) -> tuple[int, int]:
    """The padding after which an odd window leaves a map as large as it is."""
    return kernel // 2, kernel // 2


def convolved(
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool = False,
    function: Nonlinearity | None = Nonlinearity.RELU,
) -> tuple[Layer, ...]:
    """A square convolution with padding, batch normalisation, and a function if there is one."""
    convolution = Convolution(
        outputs, (kernel, kernel), (stride, stride), same(kernel), groups, bias
    )
    after = () if function is None else (Activation(function),)
    return convolution, BatchNorm(), *after


def separable(
    inputs: int, outputs: int, stride: int = 1, *, bias: bool = False
) -> tuple[Layer, ...]:
    """A depthwise and a pointwise convolution (Howard et al. 2017), each normalised, rectified."""
    return (
        *convolved(inputs, 3, stride, groups=inputs, bias=bias),
        *convolved(outputs, 1, bias=bias),
    )


def is_small(shape: tuple[int, int, int]) -> bool:
    """Whether the first layers keep the resolution; see :data:`SMALL`."""
    return max(shape[1:]) <= SMALL
