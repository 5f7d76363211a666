"""Blocks without a form of their own in turns: those that compute every channel alike, and gates.

Pools, and functions of one element, keep for the way back what belongs to the wanted channels.
Squeeze-and-excitation is small and is not cut: it is float, and trained whole in every turn.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.blocks.block import (
    NOTHING,
    Block,
    Flow,
    Held,
    Pass,
    Tape,
    Turn,
    channels_of,
)
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.model import Shape
from trainfit.algorithms.phases import Category


class OfSomeChannels(Block):
    """A block without tensors that computes every channel alike.

    Args:
        inner: The block.
        shape: Of its input.
        keeps_values: Whether its output has no values that its input does not have, as of a max
            pool.
    """

    def __init__(self, inner: Block, shape: Shape, *, keeps_values: bool = False) -> None:
        self._inner, self._keeps_values = inner, keeps_values
        self._every, self._wanted = slice(0, shape[0]), NOTHING

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """What is wanted stays so."""
        self._wanted = flow.wanted
        return Flow(flow.wanted, two_valued=flow.two_valued and self._keeps_values)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """The block's."""
        if way.tape is None:
            return self._inner.forward(x, way)
        kept = Tape()
        y = self._inner.forward(x, Pass(kept, way.statistics))
        way.keep(*(self._of_wanted(each) for each in kept))
        return y

    def _of_wanted(self, kept: torch.Tensor | torch.Size) -> torch.Tensor | torch.Size:
        if isinstance(kept, torch.Size):
            channels = self._wanted.stop - self._wanted.start
            return torch.Size((kept[0], channels, *kept[2:]))
        return channels_of(kept, self._every, self._wanted)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """The block's."""
        self._inner.backward(tape, learner, to_input=to_input)


class Whole(Block):
    """A block that is trained whole in every turn.

    Args:
        inner: The block.
        shape: Of its input and output.
    """

    def __init__(self, inner: Block, shape: Shape) -> None:
        self._inner, self._every, self._wanted = inner, slice(0, shape[0]), NOTHING

    def held(self) -> Iterator[Held]:
        """The block's."""
        return self._inner.held()

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """Of its output all is wanted."""
        self._wanted = flow.wanted
        return Flow(NOTHING if turn is None else self._every)

    def in_turn(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All its parameters."""
        for each in self.held():
            if each.category is Category.PARAMETERS:
                yield each.name, each.tensor

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """The block's."""
        return self._inner.forward(x, way)

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """The block's, of which the wanted channels are left."""
        self._inner.backward(tape, learner, to_input=to_input)
        if to_input:
            tape.append(channels_of(tape.pop(), self._every, self._wanted))
