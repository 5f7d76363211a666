"""What a step is told where it asks for a value of a tensor, of which there is none.

A step is traced with several answers. If it does the same with each, its bytes do not depend on
them; if not, they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

Number = bool | int | float


class Answering(Protocol):
    """Knows what a step is told."""

    def value(self, dtype: torch.dtype, question: int) -> Number:
        """The answer to question number ``question`` of a call of the step, from 0."""


@dataclass(frozen=True)
class Told:
    """Values that a user names, in the order in which a call of the step asks for them.

    Attributes:
        values: They; after the last one they begin again.
    """

    values: tuple[Number, ...]

    def value(self, dtype: torch.dtype, question: int) -> Number:
        """The answer to question number ``question`` of a call of the step, from 0."""
        value = self.values[question % len(self.values)]
        if dtype is torch.bool:
            return bool(value)
        return float(value) if dtype.is_floating_point else int(value)


@dataclass(frozen=True)
class Answers:
    """Values by kind, alternating between two from question to question.

    Attributes:
        truths: For bool.
        numbers: For integers and floats.
    """

    truths: tuple[bool, bool]
    numbers: tuple[int, int]

    def value(self, dtype: torch.dtype, question: int) -> Number:
        """The answer to question number ``question`` of a call of the step, from 0."""
        if dtype is torch.bool:
            return self.truths[question % 2]
        number = self.numbers[question % 2]
        return float(number) if dtype.is_floating_point else number


ONES = Answers((True, True), (1, 1))

OTHERS: Sequence[Answers] = (
    Answers((False, False), (0, 0)),
    Answers((True, False), (1000, -1000)),
    Answers((False, True), (-1000, 1000)),
)
"""What it is told in further traces, if it asks at all."""
