"""VGG8B (Nokland & Eidnes, ICML 2019): six convolutions of 3x3 and a dense layer, for 3x32x32."""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import convolved
from trainfit.algorithms.models.layers import Activation, BatchNorm, Dense, Pool
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_CHANNELS = ((128, False), (256, True), (256, False), (512, True), (512, True), (512, True))
"""Channels of every convolution, and whether a pool of 2x2 follows."""


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """Convolutions, one of them of 1024 features in the end, and the classifier."""
    found = []
    for number, (channels, pooled) in enumerate(_CHANNELS, start=1):
        layers = convolved(channels, bias=True)
        found.append(Unit(f"conv{number}", (*layers, Pool()) if pooled else layers))
    return (
        *found,
        Unit("fc1", (Dense(1024), BatchNorm(), Activation())),
        Unit("classifier", (Dense(classes),)),
    )
