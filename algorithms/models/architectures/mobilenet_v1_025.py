"""MobileNet-V1 at a quarter of its width, for visual wake words (Howard et al. 2017), for 3x96x96.

The net of MLPerf Tiny (Banbury et al. 2021); there with biases in the convolutions, here as well.
"""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import convolved, separable
from trainfit.algorithms.models.layers import Dense, GlobalAverage
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_FIRST = 8
_BLOCKS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2))
"""Channels and stride of every block but the last."""


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """A convolution, thirteen separable ones, and the classifier."""
    found, channels = [Unit("conv1", convolved(_FIRST, 3, 2, bias=True))], _FIRST
    for number, (outputs, stride) in enumerate(_BLOCKS, start=1):
        found.append(Unit(f"block{number}", separable(channels, outputs, stride, bias=True)))
        channels = outputs
    last = (*separable(channels, channels, bias=True), GlobalAverage())
    return (
        *found,
        Unit(f"block{len(_BLOCKS) + 1}", last),
        Unit("classifier", (Dense(classes),)),
    )
