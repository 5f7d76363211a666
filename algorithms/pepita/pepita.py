"""PEPITA that keeps the activations of the standard pass; the step is in ``rule``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.binary.activations import Hidden
from trainfit.algorithms.pepita.options import PEPITA
from trainfit.algorithms.pepita.rule import PepitaRule
from trainfit.algorithms.pepita.units import PepitaOnUnits


class Pepita(PepitaRule, about=PEPITA):
    """PEPITA that keeps the standard pass's activations."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (PepitaOnUnits,)
    phases: ClassVar[tuple[str, ...]] = (
        "forward",
        "gradient",
        "update",
        "forward.standard",
        "forward.modulated",
    )

    def _first_pass(self, x: torch.Tensor, kept: list[Hidden]) -> torch.Tensor:
        h: Hidden = x
        for number in range(1, self._last):
            h = self._hidden(h, number)
            kept.append(h)
        return self._linear(h, self._last)

    def _recall(self, kept: list[Hidden], number: int) -> Hidden:
        return kept.pop(0)
