"""PEPITA without kept activations (Pau & Aymone, COINS 2023).

The step is PEPITA's (:mod:`trainfit.algorithms.pepita.rule`), but its standard pass keeps only the
error. The standard pass is run again together with the modulated pass, layer by layer, each layer
with its weights before the update: of two neighbouring layers l-1 and l, h_{l-1} is freed for h_l
before h'_l is computed, so three activations are alive, two of them of one layer.

Pau & Aymone count 3 F + WU + P multiply-accumulates (F one forward pass, WU the products of the
weight gradients, P the projection of the error). The count here is smaller by the classifier's
share of one F, since the error is known before the third pass. The activations alive here are
theirs: those of two neighbouring layers, and the larger of them a second time.

The difference h_l - h'_l, from which w_l is updated, overwrites h_l; for the next layer, h_l is
restored by adding h'_l. That is exact if both are within a factor of two of each other or one is 0
(Sterbenz's lemma), and otherwise correct up to rounding, so that ``pepita`` and ``mem_pepita`` take
the same steps except for rounding. With binary activations the difference is a separate tile:
nothing has to be restored, and the steps are the same.

Shape suffixes: B batch, I inputs and O outputs of a layer, C classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.binary.activations import Hidden
from trainfit.algorithms.pepita.options import MEM_PEPITA
from trainfit.algorithms.pepita.pepita import Pepita
from trainfit.algorithms.pepita.rule import PepitaRule
from trainfit.algorithms.pepita.units import MemPepitaOnUnits
from trainfit.algorithms.phases import phase


class MemPepita(PepitaRule, about=MEM_PEPITA):
    """PEPITA that computes the standard pass's activations again, two layers at a time."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (MemPepitaOnUnits,)
    phases: ClassVar[tuple[str, ...]] = (*Pepita.phases, "forward.repeated")

    def _first_pass(self, x: torch.Tensor, kept: list[Hidden]) -> torch.Tensor:
        kept.append(x)
        h: Hidden = x
        for number in range(1, self._last):
            h = self._hidden(h, number)
        return self._linear(h, self._last)

    def _recall(self, kept: list[Hidden], number: int) -> Hidden:
        with phase("forward.repeated"):
            kept[0] = self._hidden(kept[0], number)  # with the weights before the update
        return kept[0]

    def _put_back(self, h: Hidden, m: Hidden, number: int) -> None:
        if number + 1 < self._last and isinstance(h, torch.Tensor) and isinstance(m, torch.Tensor):
            with phase("forward.repeated"):
                h.add_(m)
