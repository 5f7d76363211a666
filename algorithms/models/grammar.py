"""Small convolutional nets by their layers: ``cnn-3x32x32-c16-c32s2-d32-p-10``.

Every part but the first and the last is a unit, or the pool at the end of one:

==========  ==========================================================================
``c16``     convolution of 3x3 to 16 channels, batch normalisation, rectifier
``c16k5``   with a window of 5x5
``c32s2``   with a stride of 2
``c16b``    with a bias instead of the normalisation
``d32``     depthwise 3x3 and pointwise convolution to 32 channels, each as above; ``d32s2``
``r32``     residual block of two convolutions of 3x3 to 32 channels; ``r32s2``
``i32``     inverted residual block of MobileNet-V2, six times as wide inside; ``i32s2``
``e32``     the same with squeeze-and-excitation and SiLU, as in EfficientNet; ``e32s2``
``f64``     dense layer of 64 features, rectifier
``p``       max pool of 2x2; ``a`` its mean; ``g`` the mean over all positions
==========  ==========================================================================

In a short name, ``cnn-c16-p-c32-g``, input and classes come from the data set.
"""

from __future__ import annotations

import re
from typing import ClassVar

from trainfit._limits import MOST_LAYERS
from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.architectures.parts import convolved, inverted, same, separable
from trainfit.algorithms.models.layers import (
    Activation,
    Convolution,
    Dense,
    GlobalAverage,
    Layer,
    Nonlinearity,
    Pool,
    Pooling,
    Residual,
)
from trainfit.algorithms.models.model import Shape, check_size
from trainfit.algorithms.models.units import Unit, UnitNet

_SHAPE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")
_UNIT = re.compile(r"([cdrief])([1-9][0-9]{0,4})(?:k([1-9][0-9]?))?(?:s([1-9]))?(b?)")
_POOLS: dict[str, Layer] = {
    "p": Pool(),
    "a": Pool(Pooling.AVERAGE),
    "g": GlobalAverage(),
}
_WIDER = 6
"""An inverted residual block has so many times the channels inside."""

_SQUEEZE = 4
"""Squeezed features are the block's input channels divided by this."""

_CLASSES = re.compile(r"[1-9][0-9]{0,4}")


class Cnn:
    """The family of nets that are given by their layers."""

    family: ClassVar[str] = "cnn"
    kind: ClassVar[str] = UnitNet.kind
    form: ClassVar[str] = (
        "cnn-CHANNELSxHEIGHTxWIDTH-UNIT-...-CLASSES, for instance cnn-3x32x32-c16-c32s2-d32-p-10"
        " (c convolution, d separable, r residual, i inverted residual, e the same"
        " with squeeze-excite, f dense; p, a, g pools); or cnn-UNIT-...,"
        " completed from the data set"
    )

    @classmethod
    def parse(cls, name: str) -> UnitNet:
        """Read a full name such as ``cnn-3x32x32-c16-c32s2-d32-p-10``.

        Raises:
            ConfigurationError: The name is not of that form, or its layers do not fit together.
        """
        first, *rest = name.split("-")[1:] or [""]
        match = _SHAPE.fullmatch(first)
        if match is None:
            _layers(name, [first, *rest])
            raise ConfigurationError(
                f"model {shown(name)} leaves input and classes to a data set, and there is none"
                f" here; write for instance cnn-3x32x32-{'-'.join([first, *rest])}-10"
            )
        if not rest or not _CLASSES.fullmatch(rest[-1]):
            raise ConfigurationError(
                f"model {shown(name)} has no number of classes at its end; {cls.form}"
            )
        channels, height, width = (int(extent) for extent in match.groups())
        shape = (channels, height, width)
        check_size(name, len(rest) - 1, 0)
        units = (*_units(name, rest[:-1], channels), Unit("classifier", (Dense(int(rest[-1])),)))
        return UnitNet(name, cls.family, shape, units, cls.form)

    @classmethod
    def complete(cls, name: str, shape: Shape, classes: int) -> str:
        """``cnn-c16-g`` on data of 3x32x32 with 10 classes is ``cnn-3x32x32-c16-g-10``."""
        family, *rest = name.split("-")
        if not rest or _SHAPE.fullmatch(rest[0]):
            return name
        return "-".join([family, "x".join(str(extent) for extent in shape), *rest, str(classes)])


def _units(name: str, parts: list[str], channels: int) -> tuple[Unit, ...]:
    """A unit per part; a pool goes to the one before it."""
    found: list[Unit] = []
    for part in parts:
        if part in _POOLS:
            if not found:
                raise ConfigurationError(
                    f"model {shown(name)} begins with a pool, which belongs to the unit before it;"
                    f" {Cnn.form}"
                )
            last = found.pop()
            found.append(Unit(last.name, (*last.layers, _POOLS[part])))
            continue
        layers, channels = _layers_of(name, part, channels)
        found.append(Unit(f"unit{len(found) + 1}", layers))
    return tuple(found)


def _layers(name: str, parts: list[str]) -> None:
    """Refuse what is no part of a short name."""
    for part in parts[: MOST_LAYERS + 1]:
        if part not in _POOLS:
            _layers_of(name, part, 1)


def _layers_of(name: str, part: str, channels: int) -> tuple[tuple[Layer, ...], int]:
    """The layers of a part of the name, and their output channels."""
    match = _UNIT.fullmatch(part)
    if match is None:
        raise ConfigurationError(f"model {shown(name)}: {shown(part)} is no layer; {Cnn.form}")
    what, outputs = match[1], int(match[2])
    kernel, stride, biased = int(match[3] or 3), int(match[4] or 1), bool(match[5])
    if (what != "c" and (match[3] or biased)) or (what == "f" and match[4]):
        raise ConfigurationError(
            f"model {shown(name)}: {shown(part)}: k and b are for convolutions (c), s for all but"
            f" dense layers; {Cnn.form}"
        )
    if what == "f":
        return (Dense(outputs), Activation()), outputs
    if what == "d":
        return separable(channels, outputs, stride), outputs
    if what == "r":
        return _residual(channels, outputs, stride), outputs
    if what in "ie":
        return _inverted(channels, outputs, stride, squeezes=what == "e"), outputs
    if biased:
        window = (kernel, kernel)
        plain = Convolution(outputs, window, (stride, stride), same(kernel), bias=True)
        return (plain, Activation()), outputs
    return convolved(outputs, kernel, stride), outputs


def _inverted(inputs: int, outputs: int, stride: int, *, squeezes: bool) -> tuple[Layer, ...]:
    if not squeezes:
        return inverted(inputs, outputs, _WIDER, stride)
    squeezed, function = max(1, inputs // _SQUEEZE), Nonlinearity.SILU
    return inverted(inputs, outputs, _WIDER, stride, function=function, squeezed=squeezed)


def _residual(inputs: int, outputs: int, stride: int) -> tuple[Layer, ...]:
    body = (*convolved(outputs, 3, stride), *convolved(outputs, function=None))
    changes = stride > 1 or inputs != outputs
    past = convolved(outputs, 1, stride, function=None) if changes else ()
    return Residual(body, past), Activation()
