"""The tensors of a net of units, for rules that walk through them.

Shape suffixes: N batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import NOTHING, Chosen, Flow, Held, Pass, Statistics, Turn
from trainfit.algorithms.blocks.float32.chain import Chain, Maker
from trainfit.algorithms.contract import StaticTensor
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models.layers import BatchNorm, Layer, Residual, with_shapes
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.models.units import UnitNet
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
        make_last: The same in the last unit of the net, the classifier; by default ``make``.

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
        make_last: Maker | None = None,
    ) -> None:
        self._model = model
        makers = [make] * (len(model.units) - 1) + [make_last or make]
        channels, height, width = model.shape
        given = ((channels + planes, height, width), *model.given[1:])
        self.chains = [
            Chain(unit.layers, shape, unit.name, generator, maker)
            for unit, shape, maker in zip(
                model.units[:count], given[:count], makers[:count], strict=True
            )
        ]

    def held(self) -> Iterator[Held]:
        """What the blocks hold between steps."""
        for chain in self.chains:
            yield from chain.held()

    def add_to(self, optimiser: Optimiser) -> None:
        """Give every parameter that follows it its state; of blocks in turns those of the turn."""
        for chain in self.chains:
            trained = list(chain.in_turn()) or [
                (each.name, each.tensor)
                for each in chain.held()
                if each.category is Category.PARAMETERS and each.follows
            ]
            for name, tensor in trained:
                optimiser.add(name, tensor)

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

    def train_whole(self, *, apart: bool) -> None:
        """Train all of every unit but the classifier from now on; blocks are made for turns.

        Args:
            apart: No gradient goes from a unit to the one before, and what is given to it is
                another tensor than that one's output.
        """
        flow = Flow(NOTHING)
        for chain in self.chains[: len(self._model.units) - 1]:
            flow = chain.enter_turn(Turn(0, 1), Flow(NOTHING) if apart else flow)

    def settle(self) -> None:
        """Bring what depends on parameters up to date, after they were moved."""
        for chain in self.chains:
            chain.settle()

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


def _is_normalised_alone(layers: tuple[Layer, ...], shape: Shape) -> bool:
    for layer, given in with_shapes(layers, shape):
        if isinstance(layer, BatchNorm) and given[1] * given[2] == 1:
            return True
        if isinstance(layer, Residual) and any(
            _is_normalised_alone(way, given) for way in (layer.body, layer.shortcut)
        ):
            return True
    return False
