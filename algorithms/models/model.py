"""The protocol of all architectures."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

Shape = tuple[int, int, int]
"""Channels, height and width of one sample, whose features are these flattened in this order."""


class Model(Protocol):
    """The description of a net, from which an algorithm makes the tensors it trains.

    Class attributes:
        family: The part of its names before the first dash.
        kind: Common name of such nets ("fully connected").
        form: How its names are formed, with an example.
    """

    family: ClassVar[str]
    kind: ClassVar[str]
    form: ClassVar[str]

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

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a full name.

        Raises:
            ConfigurationError: The name is not of this family's form.
        """

    @classmethod
    def complete(cls, name: str, shape: Shape, classes: int) -> str:
        """The full name, with the parts missing in a short one taken from the data."""
