"""DS-CNN, the keyword spotter of MLPerf Tiny (Zhang et al. 2017; Banbury et al. 2021), for 1x49x10.

23,756 trained parameters for 12 classes; with the statistics of batch normalisation the 24,908 of
the benchmark. A sample is 49 frames of 10 Mel coefficients.
"""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import separable
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GlobalAverage,
)
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_CHANNELS = 64
_BLOCKS = 4


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """A convolution of 10x4, four separable ones, and the classifier.

    The first one's padding gives the 25x5 positions of the benchmark's ``same``, with a border
    alike on both sides.
    """
    first = Convolution(_CHANNELS, (10, 4), (2, 2), (5, 1), bias=True)
    blocks = [
        Unit(f"block{number}", separable(_CHANNELS, _CHANNELS, bias=True))
        for number in range(1, _BLOCKS + 1)
    ]
    last = blocks.pop()
    return (
        Unit("conv1", (first, BatchNorm(), Activation())),
        *blocks,
        Unit(last.name, (*last.layers, GlobalAverage())),
        Unit("classifier", (Dense(classes),)),
    )
