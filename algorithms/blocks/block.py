"""The contract of all blocks: forward, backward, and what they hold.

A block computes one layer. Going forward it puts on a tape what it needs on the way back::

    x -> conv -> bn -> relu -> y        tape: x | x', mean, 1/std | y

Going back it takes from the end of the tape the gradient of its output, then what is its own, and
puts there the gradient of its input, so that nothing is alive that nobody needs any more::

    tape: x | x', mean, 1/std | y | dy      relu: x | x', mean, 1/std | d      bn: x | d

The gradients of its parameters it gives to a learner, which says when they are applied.

Shape suffixes, here and in all blocks: N batch, C input channels or features, O output ones, H and
W height and width of a map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch

from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.phases import Category

Tape = list[Any]
"""Tensors, and shapes of some of which only the shape is needed; the last one is needed first."""

Chosen = Mapping[str, torch.Tensor]
"""What is trained of a net that is not trained as a whole: parameters by name, of weights the first
outputs and inputs that are trained, as a view. What is not there is frozen."""


class Statistics(Enum):
    """Of what batch normalisation takes mean and variance."""

    BATCH = auto()  # of the batch; the running ones follow
    BATCH_AGAIN = auto()  # of the batch, in a pass that is made once more: the running ones stay
    RUNNING = auto()  # the running ones


NOTHING = slice(0, 0)
"""No channels."""


@dataclass(frozen=True)
class Turn:
    """The part of every layer that is trained: one of some groups of its output channels.

    Attributes:
        group: Which one, from 0.
        groups: How many; where they do not divide the channels, the first have one more.
    """

    group: int
    groups: int

    def rows(self, channels: int) -> slice:
        """The group's channels, of so many."""
        size, more = divmod(channels, self.groups)
        start = self.group * size + min(self.group, more)
        return slice(start, start + size + (self.group < more))


@dataclass(frozen=True)
class Flow:
    """What is known, in a turn, of the maps between two blocks.

    Attributes:
        wanted: Channels of which a gradient is needed, since something below is trained.
        two_valued: Whether every value is 0 or one and the same number above 0.
    """

    wanted: slice
    two_valued: bool = False


@dataclass(frozen=True)
class Pass:
    """A way through the blocks.

    Attributes:
        tape: Where to put what the way back needs; None if there is none.
        statistics: Whose statistics normalise.
    """

    tape: Tape | None
    statistics: Statistics

    def keep(self, *things: torch.Tensor | torch.Size) -> None:
        """Put things aside, if there is a way back."""
        if self.tape is not None:
            self.tape.extend(things)


@dataclass(frozen=True)
class Held:
    """A tensor that a block holds between steps.

    Attributes:
        name: Unique within the net.
        tensor: The tensor.
        category: ``PARAMETERS`` if it is trained.
        groups: Of a weight: in so many parts, outputs see inputs of their own.
        follows: Whether a parameter is moved by an optimiser, which may have a state for it; one
            that is not is moved by its block.
        stored: Whether no step reads or writes it, so that it can be in storage.
    """

    name: str
    tensor: torch.Tensor
    category: Category
    groups: int = 1
    follows: bool = True
    stored: bool = False


class Block(ABC):
    """One layer with its tensors."""

    def held(self) -> Iterator[Held]:
        """The tensors that are there between steps; none for most blocks."""
        return iter(())

    @property
    def is_trained(self) -> bool:
        """Whether it has parameters."""
        return any(each.category is Category.PARAMETERS for each in self.held())

    @property
    def keeps_input(self) -> bool:
        """Whether all of the input is on the tape after the forward pass."""
        return False

    def has_any(self, chosen: Chosen) -> bool:
        """Whether one of its parameters is among those."""
        return any(each.name in chosen for each in self.held())

    def train_only(self, chosen: Chosen, *, to_input: bool, kept: bool) -> None:
        """Train some parameters from now on, and put on the tape what they need and no more.

        Args:
            chosen: Of the whole net.
            to_input: Whether something below is trained, so that the way back goes on.
            kept: Whether what comes next keeps this block's output, as a whole.

        Raises:
            NotImplementedError: The block has parameters and trains all of them or none.
        """
        if self.is_trained:
            raise NotImplementedError(f"{type(self).__name__} cannot be trained in part")

    def enter_turn(self, turn: Turn | None, flow: Flow) -> Flow:
        """Train a part of every layer from now on; going back, some channels' gradients suffice.

        From now on ``backward`` is given the gradient of the channels that are ``wanted`` of the
        output, and gives that of those that are wanted of the input.

        Args:
            turn: The part; None to train nothing.
            flow: What is known of the input.

        Returns:
            The same of the output.

        Raises:
            ConfigurationError: A layer cannot be cut into such parts.
            NotImplementedError: The block has no such form.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be trained in turns")

    def settle(self) -> None:
        """Bring what depends on parameters up to date, after they were moved; nothing for most."""
        return

    def in_turn(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The parameters that are trained in a turn, with the names that a learner is given."""
        return iter(())

    @abstractmethod
    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """The output for a batch, float32; only an activation overwrites ``x``."""

    @abstractmethod
    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """Gradients from that of the output, in the phases ``gradient`` and ``update``.

        Args:
            tape: Ends with what the forward pass put there and the gradient of the output, which
                may be overwritten. With ``to_input`` the gradient of the input takes their place.
            learner: Gets the gradients of the parameters.
            to_input: Whether something below needs a gradient.
        """


def channels_of(x: torch.Tensor, given: slice, wanted: slice) -> torch.Tensor:
    """Some channels, contiguous: a copy, but for all that there are.

    Args:
        x: The ``given`` channels of a map (N, C, ...).
        given: Which ones these are.
        wanted: Some of them.
    """
    if wanted == given:
        return x
    return x[:, wanted.start - given.start : wanted.stop - given.start].contiguous()


def placeholder(shape: torch.Size, like: torch.Tensor) -> torch.Tensor:
    """A tensor of a shape that takes the memory of one element, for operators that read no more."""
    return like.new_empty(()).expand(shape)
