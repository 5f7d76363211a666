"""Nets given as a list of units, which rules walk through."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.layers import Layer, parameters_of, shape_after
from trainfit.algorithms.models.model import Shape, check_size


@dataclass(frozen=True)
class Unit:
    """What is trained as one by a rule that trains a net part by part.

    A convolution with its normalisation and rectifier, a residual block, a dense layer.

    Attributes:
        name: Unique within the net; the names of its tensors start with it.
        layers: In order.
    """

    name: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class UnitNet:
    """A net of units; the last one is the classifier.

    Attributes:
        name: The full name, from which it can be rebuilt.
        family: The part of it before the first dash.
        shape: Channels, height and width of a sample.
        units: All of it, in order.
        form: How names of the family are formed.
    """

    name: str
    family: str
    shape: Shape
    units: tuple[Unit, ...]
    form: str = field(default="", compare=False)
    kind: ClassVar[str] = "convolutional"
    like: ClassVar[str] = "cnn-..., resnet8-... and more"

    def __post_init__(self) -> None:
        check_size(self.name, len(self.units) - 1, self.parameters)
        if self.classes < 2 or self.outputs[-1] != (self.classes, 1, 1):
            raise ConfigurationError(
                f"model {shown(self.name)} needs at least 2 classes, one feature for each at its"
                f" end, has {'x'.join(map(str, self.outputs[-1]))}"
            )

    @cached_property
    def outputs(self) -> tuple[Shape, ...]:
        """The shape after every unit.

        Raises:
            ConfigurationError: Two layers do not fit together; the message names the unit.
        """
        found, shape = [], self.shape
        for unit in self.units:
            try:
                shape = shape_after(unit.layers, shape)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"model {shown(self.name)}, unit {unit.name}: {error}"
                ) from None
            found.append(shape)
        return tuple(found)

    @property
    def given(self) -> tuple[Shape, ...]:
        """The shape of what every unit is given."""
        return self.shape, *self.outputs[:-1]

    @property
    def inputs(self) -> int:
        """Features per sample."""
        return math.prod(self.shape)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.outputs[-1][0]

    @property
    def parameters(self) -> int:
        """Number of trained values, without the running statistics of batch normalisation."""
        pairs = zip(self.units, self.given, strict=True)
        return sum(parameters_of(unit.layers, shape) for unit, shape in pairs)
