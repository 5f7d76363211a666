"""The protocol of all architectures."""

from __future__ import annotations

from typing import ClassVar, Protocol

from trainfit._limits import LONGEST_NAME, MOST_LAYERS, MOST_PARAMETERS
from trainfit._text import shown
from trainfit.algorithms.errors import ConfigurationError

Shape = tuple[int, int, int]
"""Channels, height and width of one sample, whose features are these flattened in this order."""


def check_name(name: str) -> None:
    """Refuse a name that is too long to be read.

    Raises:
        ConfigurationError: It has more characters than any net needs.
    """
    if len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f"model {shown(name)} has {len(name):,} characters in its name, at most"
            f" {LONGEST_NAME:,} are read; write equal layers as WIDTHxREPEATS"
        )


def check_size(name: str, layers: int, parameters: int) -> None:
    """Refuse a net that no machine could hold, before anything is made of it.

    Raises:
        ConfigurationError: It has too many layers or parameters.
    """
    for what, count, most in (
        ("hidden layers", layers, MOST_LAYERS),
        ("parameters", parameters, MOST_PARAMETERS),
    ):
        if count > most:
            raise ConfigurationError(
                f"model {shown(name)} has {count:,} {what}; a net may have at most {most:,}"
            )


class Model(Protocol):
    """The description of a net, from which an algorithm makes the tensors it trains.

    Class attributes:
        kind: Common name of such nets ("fully connected").
        like: How the names of such nets begin.
    """

    kind: ClassVar[str]
    like: ClassVar[str]

    @property
    def family(self) -> str:
        """The part of its name before the first dash."""

    @property
    def form(self) -> str:
        """How names of the family are formed, with an example."""

    @property
    def name(self) -> str:
        """The full name, from which the model can be rebuilt."""

    @property
    def inputs(self) -> int:
        """Features per sample."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def shape(self) -> Shape | None:
        """Arrangement of a sample's features; None if it does not matter."""

    @property
    def parameters(self) -> int:
        """Number of trained values when a net of this architecture is trained end to end."""


class Family(Protocol):
    """Nets whose names begin alike."""

    @property
    def family(self) -> str:
        """The part of their names before the first dash."""

    @property
    def kind(self) -> str:
        """Common name of such nets."""

    @property
    def form(self) -> str:
        """How their names are formed, with an example."""

    def parse(self, name: str) -> Model:
        """Read a full name.

        Raises:
            ConfigurationError: The name is not of this family's form.
        """

    def complete(self, name: str, shape: Shape, classes: int) -> str:
        """The full name, with the parts missing in a short one taken from the data."""
