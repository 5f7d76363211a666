"""A third party's algorithm: softmax regression by the delta rule, on a net without hidden layers.

Shape suffixes: B batch, I inputs, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field

from trainfit.algorithms import (
    Algorithm,
    AlgorithmOptions,
    Category,
    Mlp,
    StaticTensor,
    phase,
)


class DeltaOptions(AlgorithmOptions):
    lr: float = Field(default=0.5, gt=0)


class Delta(Algorithm[DeltaOptions]):
    """One linear layer."""

    name: ClassVar[str] = "delta"
    summary: ClassVar[str] = "softmax regression by the delta rule"
    paper: ClassVar[str] = "Widrow & Hoff 1960"
    options_type: ClassVar[type[AlgorithmOptions]] = DeltaOptions

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self.w_IC = torch.randn(model.inputs, model.classes, generator=self.generator) * 0.1

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("forward"):
            error_BC = x @ self.w_IC
        with phase("gradient"):
            error_BC.sub_(error_BC.logsumexp(1, keepdim=True)).exp_()
            error_BC[torch.arange(len(y)), y] -= 1
            grad_IC = x.t() @ error_BC
        with phase("update"):
            self.w_IC.sub_(grad_IC, alpha=self.options.lr / len(x))

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w_IC

    def static_tensors(self) -> Iterator[StaticTensor]:
        yield StaticTensor("w", self.w_IC, Category.PARAMETERS)


class Drawing(Delta):
    """Draws from torch's own generator, as a rule with dropout does."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            self.w_IC.add_(torch.randn(self.w_IC.shape), alpha=1e-3)


class Cautious(Delta):
    """Refuses rates that nobody would train with."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        if self.options.lr > 100:
            raise ValueError("that is too fast")
        super().step(x, y)
