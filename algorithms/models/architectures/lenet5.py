"""LeNet-5 with rectifiers and max pools (LeCun et al. 1998); 61,706 parameters on 1x28x28."""

from __future__ import annotations

from trainfit.algorithms.models.architectures.parts import same
from trainfit.algorithms.models.layers import Activation, Convolution, Dense, Pool
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit

_ORIGINAL = 32
"""Extent of the images of the paper; smaller ones are padded by the first layer."""


def units(shape: Shape, classes: int) -> tuple[Unit, ...]:
    """Two convolutions and three dense layers, all with biases, none normalised."""
    padding = same(5) if max(shape[1:]) < _ORIGINAL else (0, 0)
    return (
        Unit("conv1", (Convolution(6, (5, 5), padding=padding, bias=True), Activation(), Pool())),
        Unit("conv2", (Convolution(16, (5, 5), bias=True), Activation(), Pool())),
        Unit("fc1", (Dense(120), Activation())),
        Unit("fc2", (Dense(84), Activation())),
        Unit("classifier", (Dense(classes),)),
    )
