"""The tensors of a net of units, for rules that walk through them.

Shape suffixes: N batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch

from trainfit.algorithms.blocks.block import Chosen, Held, Pass, Statistics
from trainfit.algorithms.blocks.float32.chain import Chain, Maker
from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.layers import BatchNorm, Convolution, Layer, Residual, with_shapes
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import UnitNet
from trainfit.algorithms.numerics.int8.convolution.products import MOST_TERMS, most_rows
from trainfit.algorithms.numerics.optimisers import Optimiser
from trainfit.algorithms.phases import Category


class Units:
    """Blocks for every unit.

    Args:
        model: The net.
        generator: Draws weights, unit by unit.
        count: How many of its units, from the first; None for all.
        planes: Channels that the input has beside those of a sample.
        make: Makes a block of a layer; by default in float32.

    Attributes:
        chains: The blocks of every unit, in order.
    """

    def __init__(
        self,
        model: UnitNet,
        generator: torch.Generator,
        count: int | None = None,
        *,
        planes: int = 0,
        make: Maker | None = None,
    ) -> None:
        self._model = model
        channels, height, width = model.shape
        given = ((channels + planes, height, width), *model.given[1:])
        self.chains = [
            Chain(unit.layers, shape, unit.name, generator, make)
            for unit, shape in zip(model.units[:count], given[:count], strict=True)
        ]

    def held(self) -> Iterator[Held]:
        """What the blocks hold between steps."""
        for chain in self.chains:
            yield from chain.held()

    def add_to(self, optimiser: Optimiser) -> None:
        """Give every parameter that follows it its state."""
        for each in self.held():
            if each.category is Category.PARAMETERS and each.follows:
                optimiser.add(each.name, each.tensor)

    def train_only(self, chosen: Chosen) -> int:
        """Train some parameters from now on; see :meth:`Block.train_only`.

        Args:
            chosen: At least one.

        Returns:
            The place of the lowest unit that has one. No gradient goes below it.
        """
        lowest = min(p for p, chain in enumerate(self.chains) if chain.has_any(chosen))
        kept = False
        for place in reversed(range(len(self.chains))):
            self.chains[place].train_only(chosen, to_input=place > lowest, kept=kept)
            kept = self.chains[place].keeps_input
        return lowest

    def static_tensors(self, optimiser: Optimiser) -> Iterator[StaticTensor]:
        """What the blocks hold, and the state of an optimiser."""
        for each in self.held():
            yield StaticTensor(each.name, each.tensor, each.category)
        for name, state in optimiser.states():
            yield StaticTensor(name, state, Category.OPTIMIZER_STATE)

    def as_map(self, x: torch.Tensor) -> torch.Tensor:
        """Samples (N, features) as (N, channels, height, width), without a copy."""
        return x.view(-1, *self._model.shape)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """What the last unit gives, logits (N, C), by the running statistics."""
        with torch.no_grad():
            return self.forward(x, Pass(None, Statistics.RUNNING))

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """What the last unit gives for samples (N, features)."""
        passed = [self.as_map(x)]  # no other reference: what a unit is given is freed within it
        for chain in self.chains:
            passed.append(chain.forward(passed.pop(), way))
        return passed.pop()


def check_rows(model: UnitNet, rows: int) -> None:
    """Refuse a number of rows of which batch normalisation cannot take a variance.

    Args:
        model: The net.
        rows: How many go through it at once.

    Raises:
        ConfigurationError: There is but one value per channel; the message names the unit.
    """
    if rows > 1:
        return
    for unit, shape in zip(model.units, model.given, strict=True):
        if _is_normalised_alone(unit.layers, shape):
            raise ConfigurationError(
                f"model {model.name!r}: with one sample at a time, batch normalisation in unit"
                f" {unit.name} has one value per channel, and no variance; use 2 or more"
            )


def check_sums(model: UnitNet, batch: int, *, passes: int = 1) -> None:
    """Refuse a batch with which a gradient of a weight might exceed INT32.

    It is summed over the batch and the places of the map that a convolution gives.

    Args:
        model: The net.
        batch: Samples of a batch.
        passes: How often every sample is in it.

    Raises:
        ConfigurationError: There are too many; the message names the unit and how many would do.
    """
    for unit, shape in zip(model.units, model.given, strict=True):
        places = _most_places(unit.layers, shape)
        most = most_rows(places) // passes
        if batch > most:
            raise ConfigurationError(
                f"model {model.name!r}: in unit {unit.name}, a gradient of a weight is a sum of"
                f" {passes * batch * places:,} INT8 products, of which INT32 holds {MOST_TERMS:,}"
                f" whatever they are; use a batch of at most {most}"
            )


def _most_places(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Of the maps that convolutions among some layers give; at least 1."""
    found = 1
    for layer, given in with_shapes(layers, shape):
        if isinstance(layer, Convolution):
            found = max(found, prod(layer.shape_after(given)[1:]))
        if isinstance(layer, Residual):
            ways = layer.body, layer.shortcut
            found = max(found, *(_most_places(way, given) for way in ways))
    return found


def _is_normalised_alone(layers: tuple[Layer, ...], shape: Shape) -> bool:
    for layer, given in with_shapes(layers, shape):
        if isinstance(layer, BatchNorm) and given[1] * given[2] == 1:
            return True
        if isinstance(layer, Residual) and any(
            _is_normalised_alone(way, given) for way in (layer.body, layer.shortcut)
        ):
            return True
    return False
