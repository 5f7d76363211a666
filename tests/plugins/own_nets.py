"""Functions that a user might name with --model, right ones and wrong ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def linear() -> nn.Module:
    """The weight, its gradient and its momentum are 64 x 10 x 4 B each."""
    return nn.Linear(64, 10)


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def deep() -> nn.Module:
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))


def pooled() -> nn.Module:
    """One position per channel when batch normalisation comes."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 4)
    )


def words() -> nn.Module:
    """Takes tokens."""
    return nn.Sequential(nn.Embedding(100, 8), nn.Flatten(), nn.Linear(40, 3))


class Chooses(nn.Module):
    """Does more if its inputs are bright."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x[x > 0.5]
        scores: torch.Tensor = self.layer(x) + bright.mean()
        return scores


class TwoHeads(nn.Module):
    """Gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x), x


def frozen() -> nn.Module:
    return nn.Linear(8, 3).requires_grad_(False)


def every_position() -> nn.Module:
    return nn.Conv2d(3, 5, 1)


def nothing() -> None:
    """Returns no net."""


def broken() -> nn.Module:
    raise KeyError("no such layer")


def with_arguments(width: int) -> nn.Module:
    return nn.Linear(width, 2)


class NotReady(nn.Linear):
    """Needs arguments, too."""


made_already = nn.Linear(8, 3)
width = 64
