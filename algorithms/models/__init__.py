"""Architectures, each named so that it can be rebuilt from its name alone."""

from __future__ import annotations

from ..errors import unknown_name
from .locally_connected import LocallyConnected
from .mlp import Mlp
from .model import Model, Shape

FAMILIES: dict[str, type[Model]] = {family.family: family for family in (Mlp, LocallyConnected)}
"""Family name, the part before the first dash, to the class that parses and builds it."""


def get_model(name: str) -> Model:
    """Build the description of a model from its full name, for instance ``mlp-784-2000x4-10``.

    Raises:
        ConfigurationError: No such family, or sizes that do not parse.
    """
    return _family(name).parse(name)


def complete_name(name: str, shape: Shape, classes: int) -> str:
    """The full name of a model: a short one, ``lc-16-32``, takes the rest from the data.

    Args:
        name: A full or short name; a full one is returned as it is.
        shape: Channels, height and width of a sample.
        classes: Number of classes.

    Raises:
        ConfigurationError: No such family.
    """
    return _family(name).complete(name, shape, classes)


def _family(name: str) -> type[Model]:
    family = name.split("-", 1)[0]
    if family not in FAMILIES:
        raise unknown_name("model family", family, FAMILIES, "(for instance mlp-64-128-128-10)")
    return FAMILIES[family]


__all__ = [
    "FAMILIES",
    "LocallyConnected",
    "Mlp",
    "Model",
    "Shape",
    "complete_name",
    "get_model",
]
