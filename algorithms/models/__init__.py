"""Architectures, each named so that it can be rebuilt from its name alone."""

from __future__ import annotations

from ..errors import unknown_name
from .mlp import Mlp

FAMILIES = {"mlp": Mlp}
"""Family name, the part before the first dash, to the class that parses and builds it."""


def get_model(name: str) -> Mlp:
    """Build the description of a model from its name, for instance ``mlp-784-2000x4-10``.

    Raises:
        ConfigurationError: No such family, or sizes that do not parse.
    """
    family = name.split("-", 1)[0]
    if family not in FAMILIES:
        raise unknown_name("model family", family, FAMILIES, "(for instance mlp-64-128-128-10)")
    return FAMILIES[family].parse(name)


__all__ = ["FAMILIES", "Mlp", "get_model"]
