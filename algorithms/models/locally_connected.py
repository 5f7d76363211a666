"""Locally connected nets: 3x3 windows as in a convolution, but different weights per position.

A full name such as ``lc-1x28x28-16-32-64-64-10`` means one input channel of 28x28, four hidden
layers with these numbers of channels, and ten classes. In a short name, ``lc-16-32-64-64``, input
and classes come from the data set. Windows move by one and borders are padded with zeros, so that
every layer has as many positions as the input. Batch normalisation follows each hidden layer.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.model import Shape, check_size

WINDOW = 9
"""Positions that one output sees: its own and its eight neighbours."""

_SHAPE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")
_PART = re.compile(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,2}))?")


@dataclass(frozen=True)
class LocallyConnected:
    """A locally connected net: product, batch normalisation and rectifier per hidden layer.

    Attributes:
        name: The full name it was parsed from.
        shape: Channels, height and width of a sample.
        hidden: Channels of every hidden layer.
        classes: Number of classes.
    """

    name: str
    shape: Shape
    hidden: tuple[int, ...]
    classes: int
    family: ClassVar[str] = "lc"
    kind: ClassVar[str] = "locally connected"
    like: ClassVar[str] = "lc-..."
    form: ClassVar[str] = (
        "lc-CHANNELSxHEIGHTxWIDTH-HIDDEN[xREPEATS]-...-CLASSES, for instance"
        " lc-1x28x28-16-32-64x2-10; or lc-HIDDEN-..., completed from the data set"
    )

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a full name such as ``lc-1x28x28-16-32-64-64-10``.

        Raises:
            ConfigurationError: The name is not of that form, or is a short one.
        """
        first, *rest = name.split("-")[1:] or [""]
        match = _SHAPE.fullmatch(first)
        if match is None:
            _channels(name, [first, *rest])
            raise ConfigurationError(
                f"model {shown(name)} leaves input and classes to a data set, and there is none"
                f" here; write for instance lc-1x28x28-{'-'.join([first, *rest])}-10"
            )
        channels, height, width = (int(extent) for extent in match.groups())
        sizes = _channels(name, rest)
        if len(sizes) < 2:
            raise ConfigurationError(
                f"model {shown(name)} needs at least one hidden layer and classes; {cls.form}"
            )
        *hidden, classes = sizes
        if classes < 2:
            raise ConfigurationError(f"model {shown(name)} needs at least 2 classes, has {classes}")
        made = cls(name, (channels, height, width), tuple(hidden), classes)
        check_size(name, len(hidden), made.parameters)
        return made

    @classmethod
    def complete(cls, name: str, shape: Shape, classes: int) -> str:
        """``lc-16-32`` on data of 1x8x8 with 10 classes is ``lc-1x8x8-16-32-10``."""
        family, *rest = name.split("-")
        if not rest or _SHAPE.fullmatch(rest[0]):
            return name
        return "-".join([family, "x".join(str(extent) for extent in shape), *rest, str(classes)])

    @property
    def inputs(self) -> int:
        """Features per sample."""
        return math.prod(self.shape)

    @property
    def positions(self) -> int:
        """Number of positions of every map."""
        return self.shape[1] * self.shape[2]

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(input channels, output channels) of every hidden layer."""
        return list(pairwise((self.shape[0], *self.hidden)))

    @property
    def weights(self) -> int:
        """Number of weights of the hidden layers."""
        return self.positions * WINDOW * sum(i * o for i, o in self.layers)

    @property
    def parameters(self) -> int:
        """Weights, biases, gains and shifts of the hidden layers, and a classifier on the last."""
        hidden = sum(self.hidden)
        classifier = (self.positions * self.hidden[-1] + 1) * self.classes
        return self.weights + self.positions * hidden + 2 * hidden + classifier


def _channels(name: str, parts: list[str]) -> list[int]:
    sizes: list[int] = []
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            raise ConfigurationError(
                f"model {shown(name)}: {shown(part)} is not a number of channels;"
                f" {LocallyConnected.form}"
            )
        sizes += [int(match[1])] * int(match[2] or 1)
    return sizes
