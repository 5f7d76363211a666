"""What every optimiser does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch

from trainfit.algorithms.phases import Category, tag


class Optimiser(ABC):
    """Keeps state per parameter and applies gradients in place.

    Attributes:
        lr: Learning rate; a schedule may change it between steps.
        weight_decay: Factor of a parameter that is added to its gradient.
    """

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self._states: dict[str, dict[str, torch.Tensor]] = {}

    @abstractmethod
    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate the state of a parameter; adding it again resets the state."""

    @abstractmethod
    def begin_step(self) -> None:
        """Count a step; call once before the first ``apply`` of a step."""

    @abstractmethod
    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Update a parameter, of the gradient's shape, in place.

        Either it is contiguous, or each of its rows is. The gradient may be overwritten.
        """

    @abstractmethod
    def apply_rows(
        self, name: str, parameter: torch.Tensor, gradient: torch.Tensor, rows: slice
    ) -> None:
        """The update of some rows of a matrix; ``gradient`` holds those rows only."""

    def apply_product(
        self, name: str, parameter: torch.Tensor, left: torch.Tensor, right: torch.Tensor
    ) -> None:
        """Apply the gradient ``left @ right`` given by its factors; here by computing it."""
        self.apply(name, parameter, tag(left @ right, Category.GRADIENTS, f"d{name}"))

    def states(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor) of every piece of state."""
        for parameter, state in self._states.items():
            for kind, tensor in state.items():
                yield f"{parameter}.{kind}", tensor
