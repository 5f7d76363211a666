"""ResNet-18 and ResNet-50 (He et al., CVPR 2016).

On images of up to 64x64 the first convolution is 3x3 without stride and no pool follows it, as the
paper does on CIFAR-10: 11,173,962 parameters for 10 classes. On larger ones it is the paper's 7x7
with a pool, and both have torchvision's sizes: 11,689,512 and 25,557,032 for 1000 classes.
"""

from __future__ import annotations

from collections.abc import Callable

from trainfit.algorithms.models.architectures.parts import convolved, is_small, same
from trainfit.algorithms.models.layers import (
    Activation,
    Dense,
    GlobalAverage,
    Layer,
    Pool,
    Residual,
)
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_CHANNELS = (64, 128, 256, 512)
_WIDER = 4
"""A bottleneck's output has so many times the channels of its middle."""

Block = Callable[[int, int, int], tuple[Layer, ...]]


def resnet18(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """Four groups of two blocks of two convolutions."""
    return _net(shape, classes, (2, 2, 2, 2), _basic, 1)


def resnet50(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """Four groups of three to six bottlenecks."""
    return _net(shape, classes, (3, 4, 6, 3), _bottleneck, _WIDER)


def _net(
    shape: Shape, classes: int, blocks: tuple[int, ...], block: Block, wider: int
) -> tuple[Unit, ...]:
    found, inputs = [_stem(shape)], _CHANNELS[0]
    for group, (channels, count) in enumerate(zip(_CHANNELS, blocks, strict=True), start=1):
        for number in range(1, count + 1):
            stride = 2 if group > 1 and number == 1 else 1
            layers = block(inputs, channels, stride)
            found.append(Unit(f"block{group}_{number}", layers))
            inputs = channels * wider
    last = found.pop()
    return (
        *found,
        Unit(last.name, (*last.layers, GlobalAverage())),
        Unit("classifier", (Dense(classes),)),
    )


def _stem(shape: Shape) -> Unit:
    if is_small(shape):
        return Unit("conv1", convolved(_CHANNELS[0]))
    pool = Pool(kernel=(3, 3), stride=(2, 2), padding=same(3))
    return Unit("conv1", (*convolved(_CHANNELS[0], 7, 2), pool))


def _basic(inputs: int, channels: int, stride: int) -> tuple[Layer, ...]:
    body = (*convolved(channels, 3, stride), *convolved(channels, function=None))
    return Residual(body, _shortcut(inputs, channels, stride)), Activation()


def _bottleneck(inputs: int, channels: int, stride: int) -> tuple[Layer, ...]:
    body = (
        *convolved(channels, 1),
        *convolved(channels, 3, stride),
        *convolved(channels * _WIDER, 1, function=None),
    )
    return Residual(body, _shortcut(inputs, channels * _WIDER, stride)), Activation()


def _shortcut(inputs: int, outputs: int, stride: int) -> tuple[Layer, ...]:
    if stride == 1 and inputs == outputs:
        return ()
    return convolved(outputs, 1, stride, function=None)
