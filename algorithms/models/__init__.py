"""Architectures, each of which can be rebuilt from its name alone."""

from __future__ import annotations

from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError, unknown_name
from trainfit.algorithms.models.families import FAMILIES, family_names, find_family
from trainfit.algorithms.models.locally_connected import LocallyConnected
from trainfit.algorithms.models.mlp import Mlp
from trainfit.algorithms.models.model import Family, Model, Shape, check_name
from trainfit.algorithms.models.units import Unit, UnitNet


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


def with_width(name: str, units: int) -> str:
    """The name of a fully connected net with every hidden layer ``units`` wide.

    Raises:
        ConfigurationError: The net is not fully connected, or has no hidden layers or hidden layers
            of different widths; or no net can have that width.
    """
    return fully_connected(name).with_width(units).name


def with_depth(name: str, layers: int) -> str:
    """The name of a fully connected net with ``layers`` hidden layers of its present width.

    Raises:
        ConfigurationError: As for ``with_width``.
    """
    return fully_connected(name).with_depth(layers).name


def fully_connected(name: str) -> Mlp:
    """The net of this name, whose width and depth can be chosen.

    Raises:
        ConfigurationError: It is of another family.
    """
    model = get_model(name)
    if not isinstance(model, Mlp):
        raise ConfigurationError(
            f"model {shown(name)} is {model.kind}: its layers have channels and positions, and"
            " neither width nor depth can be chosen; use a fully connected net, for instance"
            f" mlp-{model.inputs}-128-{model.classes}"
        )
    return model


def _family(name: str) -> Family:
    check_name(name)
    name_of_family = name.split("-", 1)[0]
    family = find_family(name_of_family)
    if family is not None:
        return family
    if meant := _without_family(name):
        raise ConfigurationError(f"unknown model {name!r}; did you mean {meant}?")
    raise unknown_name(
        "model family", name_of_family, family_names(), "(for instance mlp-64-128-128-10)"
    )


def _without_family(name: str) -> str:
    """The name of the net that is meant by widths alone; empty if they are those of none."""
    for family, model in FAMILIES.items():
        try:
            return model.parse(f"{family}-{name}").name
        except ConfigurationError:
            continue
    return ""


__all__ = [
    "FAMILIES",
    "Family",
    "LocallyConnected",
    "Mlp",
    "Model",
    "Shape",
    "Unit",
    "UnitNet",
    "complete_name",
    "family_names",
    "find_family",
    "fully_connected",
    "get_model",
    "with_depth",
    "with_width",
]
