"""Fully connected nets: ``mlp-INPUTS-HIDDEN-...-CLASSES``, where ``2000x4`` repeats a width.

Shape suffixes: I inputs of a layer, O its outputs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import torch

from trainfit._limits import MOST_LAYERS
from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.model import Shape, check_size

_PART = re.compile(r"([1-9][0-9]{0,6})(?:x([1-9][0-9]{0,2}))?")
_WIDEST = 9_999_999
_DEEPEST = MOST_LAYERS


@dataclass(frozen=True)
class Mlp:
    """A fully connected net with a rectifier after every hidden layer.

    Attributes:
        name: The name it was parsed from.
        sizes: Width of the input, of every hidden layer, and the number of classes.
    """

    name: str
    sizes: tuple[int, ...]
    shape: ClassVar[None] = None
    family: ClassVar[str] = "mlp"
    kind: ClassVar[str] = "fully connected"
    like: ClassVar[str] = "mlp-..."
    form: ClassVar[str] = "mlp-INPUTS-HIDDEN[xREPEATS]-...-CLASSES, for instance mlp-784-2000x4-10"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a name such as ``mlp-64-128-128-10``.

        Raises:
            ConfigurationError: The name is not of that form.
        """
        sizes: list[int] = []
        for part in name.split("-")[1:]:
            match = _PART.fullmatch(part)
            if match is None:
                raise ConfigurationError(
                    f"model {shown(name)}: {shown(part)} is not a width; {cls.form}"
                )
            sizes += [int(match[1])] * int(match[2] or 1)
        if len(sizes) < 2:
            raise ConfigurationError(
                f"model {shown(name)} needs at least inputs and classes; {cls.form}"
            )
        if sizes[-1] < 2:
            raise ConfigurationError(
                f"model {shown(name)} needs at least 2 classes, has {sizes[-1]}"
            )
        made = cls(name, tuple(sizes))
        check_size(name, len(made.hidden), made.parameters)
        return made

    @classmethod
    def uniform(cls, inputs: int, units: int, layers: int, classes: int) -> Self:
        """The net with so many hidden layers of so many units each."""
        hidden = str(units) if layers == 1 else f"{units}x{layers}"
        return cls.parse(f"{cls.family}-{inputs}-{hidden}-{classes}")

    @classmethod
    def complete(cls, name: str, shape: Shape, classes: int) -> str:
        """Names of this family are always full."""
        return name

    @property
    def inputs(self) -> int:
        """Features per sample."""
        return self.sizes[0]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.sizes[-1]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return self.sizes[1:-1]

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every linear layer, the classifier last."""
        return list(pairwise(self.sizes))

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(i * o + o for i, o in self.layers)

    def with_width(self, units: int) -> Self:
        """This net with every hidden layer ``units`` wide.

        Raises:
            ConfigurationError: It has no hidden layers or they differ in width, or no net can
                have that width.
        """
        self._need_one_width()
        return self._resized(units, len(self.hidden))

    def with_depth(self, layers: int) -> Self:
        """This net with ``layers`` hidden layers, all as wide as those it has.

        Raises:
            ConfigurationError: It has no hidden layers or they differ in width, or no net can
                have that many.
        """
        self._need_one_width()
        return self._resized(self.hidden[0], layers)

    def _need_one_width(self) -> None:
        if not self.hidden:
            raise ConfigurationError(
                f"model {self.name!r} has no hidden layers, so that neither width nor depth can be"
                f" chosen; use for instance mlp-{self.inputs}-128-{self.classes}"
            )
        if len(set(self.hidden)) > 1:
            widths = ", ".join(str(units) for units in self.hidden)
            like = self._resized(self.hidden[0], len(self.hidden))
            raise ConfigurationError(
                f"model {self.name!r} has hidden layers of different widths ({widths}), so that"
                " neither one width nor a number of layers says what it is; use one width, for"
                f" instance {like.name}"
            )

    def _resized(self, units: int, layers: int) -> Self:
        for what, size, most in (("units", units, _WIDEST), ("hidden layers", layers, _DEEPEST)):
            if not 1 <= size <= most:
                raise ConfigurationError(
                    f"model {self.name!r} cannot have {size} {what}; use 1 to {most}"
                )
        return self.uniform(self.inputs, units, layers, self.classes)


def linear_init(
    inputs: int, outputs: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """``w_OI`` and ``b_O`` drawn from U(-1/sqrt(I), 1/sqrt(I)), as ``torch.nn.Linear`` does."""
    bound = 1.0 / math.sqrt(inputs)
    w_OI = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
    b_O = torch.empty(outputs).uniform_(-bound, bound, generator=generator)
    return w_OI, b_O
