"""When gradients of parameters are applied: kept to the end, at once, or some rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from trainfit.algorithms.numerics.optimisers import Optimiser, Sgd
from trainfit.algorithms.phases import Category, phase, tag
from trainfit.algorithms.tiling import in_tiles

_TILES = 16
"""Of a weight whose gradient is made in tiles, one tile is at most this part."""

OfRows = Callable[[slice], torch.Tensor]
"""Gives the gradient of some rows of a weight, which are output channels."""


class Learner(ABC):
    """Takes gradients, and sees to it that the optimiser applies them."""

    def __init__(self, optimiser: Optimiser) -> None:
        self.optimiser = optimiser

    at_once = True
    """Whether what is taken is applied before ``take`` returns."""
    by_rows = False
    """Whether the gradient of a weight is to be made some rows at a time, in the update."""

    @contextmanager
    def slowed(self, factor: float) -> Iterator[None]:
        """What is applied within moves by a part of the learning rate."""
        lr = self.optimiser.lr
        self.optimiser.lr = lr * factor
        try:
            yield
        finally:
            self.optimiser.lr = lr

    @abstractmethod
    def take(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Take a gradient; it may be overwritten."""

    def take_rows(
        self, name: str, weight: torch.Tensor, gradient: OfRows, *, group: int = 1
    ) -> None:
        """Take the gradient of a weight, made of as many rows at a time as are wanted.

        Args:
            name: Of the weight.
            weight: The weight.
            gradient: Makes that of some rows.
            group: Rows that belong together: what is asked for are whole groups, or part of one.

        Raises:
            NotImplementedError: Gradients are wanted whole (``by_rows`` is false).
        """
        raise NotImplementedError

    def take_product(
        self, name: str, weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """Take the gradient ``left @ right`` of a weight; with ``by_rows`` it is never made whole.

        Raises:
            NotImplementedError: As :meth:`take_rows`.
        """
        raise NotImplementedError

    @abstractmethod
    def finish(self) -> None:
        """Apply what is not yet applied."""


class Kept(Learner):
    """Gradients are summed over parts of the batch and applied in the end."""

    at_once = False

    def __init__(self, optimiser: Optimiser) -> None:
        super().__init__(optimiser)
        self._taken: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def take(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Keep it, or add it to what an earlier part of the batch gave."""
        tag(gradient, Category.GRADIENTS, f"d{name}")
        if name in self._taken:
            self._taken[name][1].add_(gradient)
        else:
            self._taken[name] = parameter, gradient

    def finish(self) -> None:
        """Apply them, each freed when it has been."""
        with phase("update"):
            for name in list(self._taken):
                parameter, gradient = self._taken.pop(name)
                self.optimiser.apply(name, parameter, gradient)
                del gradient


class AtOnce(Learner):
    """A gradient is applied as soon as it exists."""

    def take(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Apply it."""
        with phase("update"):
            tag(gradient, Category.GRADIENTS, f"d{name}")
            self.optimiser.apply(name, parameter, gradient)

    def finish(self) -> None:
        """Nothing is left."""


class ByRows(AtOnce):
    """The gradient of a weight never exists as a whole."""

    by_rows = True

    def take_rows(
        self, name: str, weight: torch.Tensor, gradient: OfRows, *, group: int = 1
    ) -> None:
        """Make and apply the gradients of some rows after those of others."""
        for rows in in_tiles(len(weight), _rows_of(len(weight), group)):
            with phase("gradient"):
                part = tag(gradient(rows), Category.GRADIENTS, f"d{name}")
            with phase("update"):
                self.optimiser.apply_rows(name, weight, part, rows)
                del part

    def take_product(
        self, name: str, weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """Descent adds up the terms in the momentum, or in the weight; Adam needs whole rows."""
        if isinstance(self.optimiser, Sgd):
            with phase("update"):
                self.optimiser.apply_product(name, weight, left, right)
        else:
            self.take_rows(name, weight, lambda rows: left[rows] @ right)


def _rows_of(rows: int, group: int) -> int:
    """Rows of a tile: whole groups, or a part of one that divides it."""
    most = max(1, rows // _TILES)
    if most >= group:
        return most - most % group
    return next(size for size in range(most, 0, -1) if group % size == 0)
