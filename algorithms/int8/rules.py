"""Backpropagation in INT8 with plain rounding, UI8 and DAI8; ``chain`` has the chain rule.

* ``backprop_int8`` is naive: ranges are largest magnitudes of whole tensors, rounding is to the
  nearest, and with ``master=int8`` weights exist in INT8 only: ``w - lr dw`` is rounded back in
  every step, its largest magnitude being the new range. A change of less than half a step of that
  grid is lost, so it falls behind, the more so at low rates. There is no optimiser, because its
  state would be a float matrix. ``weight_decay`` multiplies the range, which loses nothing.
  ``master=fp32`` keeps float32 weights, updates them with any optimiser and rounds them to INT8
  afterwards.
* ``backprop_ui8`` (Zhu et al. 2020) clips gradients so that they keep their direction:
  :mod:`trainfit.algorithms.int8.ui8_clipping`.
* ``backprop_dai8`` (Zhao et al. 2021) rounds by channel:
  :mod:`trainfit.algorithms.int8.dai8_clipping`. In comparisons it stands in for GDAI8 (Wang & Kang,
  Neurocomputing 541:126269, 2023); the formulas of that rule are not public, and nothing is claimed
  for it here.

Decisions. FF-INT8 (Ma, Panda & Reda, DAC 2025) compares itself with naive INT8 backpropagation in
its table I and does not say how weights are kept or numbers rounded; with the defaults here, no
float matrix is needed. UI8 and DAI8 keep float32 weights with an optimiser.

Nets of units are trained by :mod:`trainfit.algorithms.int8.units`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.int8.chain import Int8Chain
from trainfit.algorithms.int8.dai8_clipping import distribution_adaptive
from trainfit.algorithms.int8.options import (
    BACKPROP_DAI8,
    BACKPROP_INT8,
    BACKPROP_UI8,
    BackpropDai8Options,
    BackpropInt8Options,
    BackpropUi8Options,
    Master,
    check_master,
)
from trainfit.algorithms.int8.ui8_clipping import direction_sensitive
from trainfit.algorithms.int8.units import (
    BackpropDai8OnUnits,
    BackpropInt8OnUnits,
    BackpropUi8OnUnits,
)
from trainfit.algorithms.models import Mlp, Model, UnitNet
from trainfit.algorithms.numerics.int8.gradients import max_abs


class BackpropInt8(Int8Chain[BackpropInt8Options], about=BACKPROP_INT8):
    """Everything rounded to INT8 with its largest magnitude as range."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (BackpropInt8OnUnits,)

    def __init__(self, model: Mlp, options: BackpropInt8Options, *, seed: int = 0) -> None:
        check_master(options)
        super().__init__(model, options, max_abs(options.rounding, options.kernel), seed=seed)

    @property
    def _latent(self) -> bool:
        return self.options.master is Master.FP32


class BackpropUi8(Int8Chain[BackpropUi8Options], about=BACKPROP_UI8):
    """Gradients clipped to keep their direction; the rate falls with the remaining deviation."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (BackpropUi8OnUnits,)

    def __init__(self, model: Mlp, options: BackpropUi8Options, *, seed: int = 0) -> None:
        super().__init__(model, options, direction_sensitive(options), seed=seed)


class BackpropDai8(Int8Chain[BackpropDai8Options], about=BACKPROP_DAI8):
    """Gradients rounded per output unit, each with a range that depends on its distribution."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (BackpropDai8OnUnits,)

    def __init__(self, model: Mlp, options: BackpropDai8Options, *, seed: int = 0) -> None:
        super().__init__(model, options, distribution_adaptive(options), seed=seed)
