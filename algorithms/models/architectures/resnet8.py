"""ResNet-8, the image classifier of MLPerf Tiny (Banbury et al. 2021), for 3x32x32.

78,186 trained parameters; with the statistics of batch normalisation the 78,666 of its authors.
Convolutions have biases, and what a shortcut convolves is not normalised, as in their code.
"""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import convolved
from trainfit.algorithms.models.layers import (
    Activation,
    Convolution,
    Dense,
    GlobalAverage,
    Layer,
    Residual,
)
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """A convolution, three residual blocks of 16, 32 and 64 channels, and the classifier."""
    return (
        Unit("conv1", convolved(16, bias=True)),
        Unit("block1", _block(16, 1)),
        Unit("block2", _block(32, 2)),
        Unit("block3", (*_block(64, 2), GlobalAverage())),
        Unit("classifier", (Dense(classes),)),
    )


def _block(channels: int, stride: int) -> tuple[Layer, ...]:
    body = (
        *convolved(channels, 3, stride, bias=True),
        *convolved(channels, bias=True, function=None),
    )
    past = (Convolution(channels, (1, 1), (stride, stride), bias=True),) if stride > 1 else ()
    return Residual(body, past), Activation()
