"""Algorithms that tell a diary when they take steps, and one that does not live long."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from plain import Delta, DeltaOptions

from trainfit.algorithms import AlgorithmOptions
from trainfit.bench.latency_comparison import worker


class DiaryOptions(DeltaOptions):
    diary: str = ""
    lives: int = 0


class Diarist(Delta):
    """Writes down when each of its steps begins and ends; dies in step number ``lives``."""

    options_type: ClassVar[type[AlgorithmOptions]] = DiaryOptions
    taken = 0

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        began = time.monotonic_ns()
        self.taken += 1
        if self.taken == self.options.lives:
            os._exit(3)
        while time.monotonic_ns() - began < 2_000_000:
            super().step(x, y)
        line = f"{os.getpid()} {began} {time.monotonic_ns()}\n"
        with Path(self.options.diary).open("a", encoding="ascii") as stream:
            stream.write(line)


class NeverReady(Delta):
    """Takes for ever to be made."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        time.sleep(1_000_000)


class TwoStages(Delta):
    """Trains in two parts; the second takes ten times as long, by a clock of its own."""

    _stage = 0
    _seconds = 0.0

    @property
    def stages(self) -> tuple[str, ...]:
        return ("short", "long")

    def enter_stage(self, index: int) -> None:
        super().enter_stage(index)
        self._stage = index
        worker.COUNTERS = SimpleNamespace(  # of this process only
            seconds=lambda: self._seconds,
            cpu_seconds=lambda: self._seconds,
            delay_seconds=lambda: 0.0,
            switches=lambda: (0, 0),
        )

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        super().step(x, y)
        self._seconds += 0.01 if self._stage else 0.001
