"""Rules that break one promise each, and keep all others.

Shape suffixes: B batch, I inputs, C classes.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict

from tests.plugins.plain import Delta, DeltaOptions
from trainfit.algorithms import AlgorithmOptions, Category, Mlp, StaticTensor, phase

kept_elsewhere: list[torch.Tensor] = []
fixed_elsewhere = torch.full((4,), 0.5)


class LooseOptions(DeltaOptions):
    model_config = ConfigDict(extra="allow")


class Loose(Delta):
    """Takes options that it does not have."""

    options_type: ClassVar[type[AlgorithmOptions]] = LooseOptions


class NeedsOptions(DeltaOptions):
    rank: int


class Needs(Delta):
    """Cannot be named alone."""

    options_type: ClassVar[type[AlgorithmOptions]] = NeedsOptions


class CannotBeBuilt(Delta):
    """A bug in its constructor."""

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        raise IndexError("no such layer")


class Returns(Delta):
    """Gives its loss back."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        super().step(x, y)
        return self.w_IC.sum()


class Diverges(Delta):
    """One step is too far."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        self.w_IC.div_(0)


class Undeclared(Delta):
    """Enters a phase of its own."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("backward"):
            super().step(x, y)


class Misnamed(Delta):
    """Declares such a phase, too."""

    phases: ClassVar[tuple[str, ...]] = (*Delta.phases, "backward")


class Overwrites(Delta):
    """Uses its input as scratch memory."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        x.mul_(0.5)


class Relabels(Delta):
    """The same with labels."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        y.zero_()


class Hides(Delta):
    """Keeps its momentum to itself."""

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self.state = {"momentum": torch.zeros_like(self.w_IC)}

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            self.w_IC.add_(self.state["momentum"].mul_(0.9).add_(self.w_IC, alpha=0.01))


class HidesElsewhere(Delta):
    """Uses a tensor of its module."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("update"):
            self.w_IC[0, :1].add_(fixed_elsewhere[:1])
        super().step(x, y)


class NamesTwice(Delta):
    """Two tensors of one name."""

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self.b_C = torch.zeros(model.classes)

    def static_tensors(self) -> Iterator[StaticTensor]:
        yield from super().static_tensors()
        yield StaticTensor("w", self.b_C, Category.PARAMETERS)


class Idle(Delta):
    """Computes and does not learn."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        before_IC = self.w_IC.clone()
        super().step(x, y)
        self.w_IC.copy_(before_IC)


class Misshapen(Delta):
    """Predicts one class too few."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return super().predict(x)[:, 1:]


class TrainsWhenAsked(Delta):
    """Adapts to what it predicts."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        self.w_IC.mul_(0.99)
        return super().predict(x)


class DrawsUnseeded(Delta):
    """Draws from Python's generator."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            self.w_IC.add_(random.random() / 1000)


class SeedsItself(Delta):
    """The same weights, whatever its seed is."""

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=7)


class DrawsElsewhere(Delta):
    """Draws from torch's own generator, whose state is not kept."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            self.w_IC.add_(torch.randn(self.w_IC.shape), alpha=1e-3)


class NeedsTwo(Delta):
    """Has not thought of a batch of one sample."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.w_IC.add_(0 * x[1].sum())
        super().step(x, y)


class NeedsWidth(Delta):
    """Nor of a small net."""

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self.half = 8 // (model.inputs // 2)


class AnyStage(Delta):
    """Enters stages that there are not."""

    def enter_stage(self, index: int) -> None:
        self.entered = index


class Alternates(Delta):
    """Allocates more in every other step."""

    steps = 0

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.steps += 1
        with phase("forward"):
            torch.empty(100 * (1 + self.steps % 2)).fill_(1.0)
        super().step(x, y)


class Leaks(Delta):
    """Keeps the error of every step."""

    def __init__(self, model: Mlp, options: DeltaOptions, *, seed: int = 0) -> None:
        super().__init__(model, options, seed=seed)
        self.errors: list[torch.Tensor] = []

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            self.errors.append(self.w_IC.sum(0))


class LeaksElsewhere(Delta):
    """The same where nobody looks."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            kept_elsewhere.append(self.w_IC.sum(0))


class Lazy(Delta):
    """Makes what it keeps when it first needs it."""

    momentum_IC: torch.Tensor | None = None

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            if self.momentum_IC is None:
                self.momentum_IC = torch.zeros_like(self.w_IC)
            self.momentum_IC.mul_(0.9).add_(self.w_IC, alpha=0.001)

    def static_tensors(self) -> Iterator[StaticTensor]:
        yield from super().static_tensors()
        if self.momentum_IC is not None:
            yield StaticTensor("momentum", self.momentum_IC, Category.OPTIMIZER_STATE)


class LooksAtData(Delta):
    """Does more if its weights are large."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            if self.w_IC.abs().max().item() > 2:
                self.w_IC.copy_(self.w_IC / 2)


class LeavesTorch(Delta):
    """Computes in numpy."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        with phase("update"):
            self.w_IC.mul_(float(1 + 0 * self.w_IC.numpy().sum()))


class Climbs(Delta):
    """Has a sign wrong."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        before_IC = self.w_IC.clone()
        super().step(x, y)
        self.w_IC.sub_(before_IC).neg_().add_(before_IC)


class Crashes(Delta):
    """A bug in somebody's kernel, in the second step only."""

    taken = 0

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.taken += 1
        if self.taken == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        super().step(x, y)


class Hangs(Delta):
    """Waits for what never comes."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        time.sleep(1000)
