"""The common interface of TinyFoA's two variants."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.contract import StaticTensor


class AdamSettings(NamedTuple):
    """What the optimiser of every layer and slice is made with."""

    lr: float
    weight_decay: float = 0.0


class VariantRule(ABC):
    """One variant of TinyFoA, at one layer at a time."""

    @abstractmethod
    def enter_layer(self, index: int) -> None:
        """Train hidden layer ``index`` (from 0) from now on."""

    @abstractmethod
    def enter_slice(self, epoch: int) -> None:
        """Choose the slice for pass ``epoch`` (from 0) of the active layer."""

    def check_batch(self, batch_size: int) -> None:  # noqa: B027  (most rules take any)
        """Refuse a batch that the net cannot be trained on."""

    def stage_data(self, x_SI: torch.Tensor) -> torch.Tensor:
        """Inputs for steps of the active layer, made from the samples."""
        return x_SI

    @abstractmethod
    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """One update of the active layer."""

    @abstractmethod
    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of the active layer's head."""

    @abstractmethod
    def static_tensors(self) -> Iterator[StaticTensor]:
        """Everything held between steps."""


def fixed_head(outputs: int, classes: int, generator: torch.Generator) -> torch.Tensor:
    """A fixed random classifier ``head_CO``, He-normal, no bias."""
    return torch.empty(classes, outputs).normal_(0, math.sqrt(2 / outputs), generator=generator)
