"""Algorithms that go wrong, each in its own way."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any

import torch
from plain import Delta

from trainfit.algorithms import ConfigurationError, phase


class Raises(Delta):
    """A bug in somebody's step."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("forward"):
            raise ZeroDivisionError("the\nlearning rate is zero")


class Exits(Delta):
    """Leaves without a word."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        os._exit(0)


class SysExits(Delta):
    """Leaves in the ordinary way."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        sys.exit(4)


class Segfaults(Delta):
    """A bug in somebody's kernel."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        ctypes.string_at(0)


class CrashesWhenBuilt(Delta):
    """Crashes before there is anything to measure."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(Delta):
    """Waits for what never comes."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        time.sleep(1000)


class HangsLater(Delta):
    """Measurable, but its training never ends."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        time.sleep(1000)


class Greedy(Delta):
    """Wants 64 TiB in one piece, which the allocator refuses."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("forward"):
            torch.empty(2**44)


class Hungry(Delta):
    """Takes memory until a limit stops it."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("forward"):
            hoard = [torch.ones(2**18)]
            while len(hoard) < 4096:  # 4 GiB, should there be no limit
                hoard.append(hoard[-1] + 1)


class Killed(Delta):
    """Meets the kernel's out-of-memory killer."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Yields(Delta):
    """A step that has become a generator by accident."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        yield super().step(x, y)


class Undeclared(Delta):
    """Enters a phase that it does not declare."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("backward"):
            super().step(x, y)


class Unmarked(Delta):
    """Enters no phase at all."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.w_IC.mul_(0.9)


class Misshapen(Delta):
    """Predicts one class too few."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return super().predict(x)[:, 1:]


class Nan(Delta):
    """Predicts nothing at all."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return super().predict(x).fill_(float("nan"))


class SometimesNan(Delta):
    """Predicts nothing of its first sample."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        scores_BC = super().predict(x)
        scores_BC[0, 0] = float("nan")
        return scores_BC


class Labels(Delta):
    """Predicts what is no tensor."""

    def predict(self, x: torch.Tensor) -> Any:
        return super().predict(x).argmax(1).tolist()


class Overwrites(Delta):
    """Uses its input as scratch memory."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        x.zero_()


class Diverges(Delta):
    """Its weights run off in the second pass."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        if epoch == 1:
            self.w_IC.fill_(float("nan"))


class Talks(Delta):
    """Prints, and still works."""

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        print("step!")
        os.write(2, b"\x1b[31mstep!\n")
        super().step(x, y)


class Refuses(Delta):
    """Finds out in its constructor that the model does not suit it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise ConfigurationError("needs a hidden layer")


class FailsWhenBuilt(Delta):
    """A bug in somebody's constructor."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise IndexError("no such layer")


def not_a_class() -> None:
    """Not an algorithm."""
