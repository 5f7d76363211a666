"""Parts that several architectures are made of."""

from __future__ import annotations

from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Layer,
    Nonlinearity,
    Residual,
    SqueezeExcite,
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


def inverted(
    inputs: int,
    outputs: int,
    factor: int,
    stride: int = 1,
    *,
    kernel: int = 3,
    function: Nonlinearity = Nonlinearity.RELU6,
    squeezed: int = 0,
) -> tuple[Layer, ...]:
    """An inverted residual block (Sandler et al. 2018): wider, depthwise, narrower, no function.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        factor: How many times as many there are in between.
        stride: Of the depthwise convolution.
        kernel: Extent of its window.
        function: Between the convolutions.
        squeezed: Features of a squeeze-and-excitation behind it; 0 for none.
    """
    inside = inputs * factor
    body = (
        *(convolved(inside, 1, function=function) if factor > 1 else ()),
        *convolved(inside, kernel, stride, groups=inside, function=function),
        *((SqueezeExcite(squeezed, function),) if squeezed else ()),
        *convolved(outputs, 1, function=None),
    )
    return (Residual(body),) if stride == 1 and inputs == outputs else body


def is_small(shape: tuple[int, int, int]) -> bool:
    """Whether the first layers keep the resolution; see :data:`SMALL`."""
    return max(shape[1:]) <= SMALL
