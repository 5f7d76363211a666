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
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch

from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.phases import Category

Tape = list[Any]
"""Tensors, and shapes of some of which only the shape is needed; the last one is needed first."""


class Statistics(Enum):
    """Of what batch normalisation takes mean and variance."""

    BATCH = auto()  # of the batch; the running ones follow
    BATCH_AGAIN = auto()  # of the batch, in a pass that is made once more: the running ones stay
    RUNNING = auto()  # the running ones


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
    """

    name: str
    tensor: torch.Tensor
    category: Category


class Block(ABC):
    """One layer with its tensors."""

    def held(self) -> Iterator[Held]:
        """The tensors that are there between steps; none for most blocks."""
        return iter(())

    @property
    def is_trained(self) -> bool:
        """Whether it has parameters."""
        return any(each.category is Category.PARAMETERS for each in self.held())

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


def placeholder(shape: torch.Size, like: torch.Tensor) -> torch.Tensor:
    """A tensor of a shape that takes the memory of one element, for operators that read no more."""
    return like.new_empty(()).expand(shape)
