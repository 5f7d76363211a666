"""Optimisers that work in place, with no temporary larger than one tile.

The update rules are those of ``torch.optim.SGD`` (momentum, weight decay, Nesterov) and
``torch.optim.Adam`` (weight decay). Weight decay is the gradient of an L2 penalty, as there: ``g <-
g + weight_decay p`` before anything else is done with g (Adam's second moment sees it, too; that is
not AdamW). It applies to every parameter that the optimiser is given, biases too. State is
allocated when a parameter is added, so it is static from the first step on.
"""

from __future__ import annotations

from typing import Protocol

from trainfit.algorithms.numerics.optimisers.adam import Adam, adam_tile
from trainfit.algorithms.numerics.optimisers.base import Optimiser
from trainfit.algorithms.numerics.optimisers.sgd import Sgd
from trainfit.algorithms.options import OptimizerName

__all__ = ["Adam", "Optimiser", "Sgd", "adam_tile", "make_optimiser", "optimiser_of"]


class Chosen(Protocol):
    """Options of a rule whose update can be chosen."""

    @property
    def optimizer(self) -> OptimizerName:
        """Which one."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def momentum(self) -> float:
        """Of SGD."""

    @property
    def weight_decay(self) -> float:
        """Factor of a parameter in its gradient."""

    @property
    def nesterov(self) -> bool:
        """Of SGD."""


def optimiser_of(options: Chosen) -> Optimiser:
    """The optimiser that a rule's options choose, without parameters as yet."""
    return make_optimiser(
        options.optimizer,
        options.lr,
        options.momentum,
        weight_decay=options.weight_decay,
        nesterov=options.nesterov,
    )


def make_optimiser(
    name: OptimizerName,
    lr: float,
    momentum: float,
    *,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Optimiser:
    """An optimiser by name; ``momentum`` and ``nesterov`` are for SGD only."""
    if name is OptimizerName.ADAM:
        return Adam(lr, weight_decay=weight_decay)
    return Sgd(lr, momentum, weight_decay=weight_decay, nesterov=nesterov)
