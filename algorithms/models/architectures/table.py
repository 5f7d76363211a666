"""Every architecture that has a name of its own: ``resnet8-3x32x32-10``, or ``resnet8`` on data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.architectures import (
    ds_cnn,
    efficientnet_b0,
    lenet5,
    mobilenet_v1_025,
    mobilenet_v2,
    resnet,
    resnet8,
    vgg8b,
)
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import Unit, UnitNet

_SHAPE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")
_CLASSES = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True)
class Architecture:
    """A family of nets that differ in their input and classes only.

    Attributes:
        family: Its name.
        units: The units for an input and a number of classes.
        example: A full name.
    """

    family: str
    units: Callable[[Shape, int], tuple[Unit, ...]]
    example: str
    kind: str = UnitNet.kind

    @property
    def form(self) -> str:
        """How its names are formed."""
        return (
            f"{self.family}-CHANNELSxHEIGHTxWIDTH-CLASSES, for instance {self.example}; or"
            f" {self.family}, completed from the data set"
        )

    def parse(self, name: str) -> UnitNet:
        """Read a full name such as ``resnet8-3x32x32-10``.

        Raises:
            ConfigurationError: The name is not of that form, or the net cannot be put on such an
                input.
        """
        parts = name.split("-")[1:]
        if not parts:
            raise ConfigurationError(
                f"model {shown(name)} leaves input and classes to a data set, and there is none"
                f" here; write for instance {self.example}"
            )
        shape = _SHAPE.fullmatch(parts[0])
        classes = _CLASSES.fullmatch(parts[1]) if len(parts) == 2 else None
        if shape is None or classes is None:
            wrong = parts[0] if shape is None else "-".join(parts[1:])
            what = "no CHANNELSxHEIGHTxWIDTH" if shape is None else "no number of classes"
            raise ConfigurationError(f"model {shown(name)}: {shown(wrong)} is {what}; {self.form}")
        channels, height, width = (int(extent) for extent in shape.groups())
        given = (channels, height, width)
        units = self.units(given, int(classes[0]))
        return UnitNet(name, self.family, given, units, self.form)

    def complete(self, name: str, shape: Shape, classes: int) -> str:
        """``resnet8`` on data of 3x32x32 with 10 classes is ``resnet8-3x32x32-10``."""
        if name != self.family:
            return name
        return f"{name}-{'x'.join(str(extent) for extent in shape)}-{classes}"


ARCHITECTURES = tuple(
    Architecture(family, units, f"{family}-{rest}")
    for family, units, rest in (
        ("lenet5", lenet5.units, "1x28x28-10"),
        ("resnet8", resnet8.units, "3x32x32-10"),
        ("ds_cnn", ds_cnn.units, "1x49x10-12"),
        ("mobilenet_v1_025", mobilenet_v1_025.units, "3x96x96-2"),
        ("vgg8b", vgg8b.units, "3x32x32-10"),
        ("resnet18", resnet.resnet18, "3x32x32-10"),
        ("resnet50", resnet.resnet50, "3x224x224-1000"),
        ("mobilenet_v2", mobilenet_v2.units, "3x32x32-10"),
        ("efficientnet_b0", efficientnet_b0.units, "3x32x32-10"),
    )
)
