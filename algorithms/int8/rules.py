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
"""

from __future__ import annotations

from typing import Any, ClassVar

from trainfit.algorithms.contract import Algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.int8.chain import Int8Chain
from trainfit.algorithms.int8.dai8_clipping import DistributionAdaptive
from trainfit.algorithms.int8.gradients import GradientQuantiser, MaxAbs
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
from trainfit.algorithms.int8.ui8_clipping import DirectionSensitive
from trainfit.algorithms.int8.units import BackpropInt8OnUnits
from trainfit.algorithms.models import Mlp, Model, UnitNet


class BackpropInt8(Int8Chain[BackpropInt8Options], about=BACKPROP_INT8):
    """Everything rounded to INT8 with its largest magnitude as range."""

    models: ClassVar[tuple[type[Model], ...]] = (Mlp, UnitNet)
    forms: ClassVar[tuple[type[Algorithm[Any]], ...]] = (BackpropInt8OnUnits,)

    def __init__(self, model: Mlp, options: BackpropInt8Options, *, seed: int = 0) -> None:
        check_master(options)
        super().__init__(model, options, seed=seed)

    @property
    def _latent(self) -> bool:
        return self.options.master is Master.FP32

    def _make_quantiser(self) -> GradientQuantiser:
        return MaxAbs(self.model, self.options.rounding, self.options.kernel)


class BackpropUi8(Int8Chain[BackpropUi8Options], about=BACKPROP_UI8):
    """Gradients clipped to keep their direction; the rate falls with the remaining deviation."""

    def __init__(self, model: Mlp, options: BackpropUi8Options, *, seed: int = 0) -> None:
        if options.candidates % options.period:
            raise ConfigurationError(
                f"backprop_ui8: period={options.period} does not divide"
                f" candidates={options.candidates}, which are spread evenly over that many steps;"
                " choose a divisor"
            )
        super().__init__(model, options, seed=seed)

    def _make_quantiser(self) -> GradientQuantiser:
        options = self.options
        return DirectionSensitive(
            self.model,
            options.rounding,
            options.kernel,
            alpha=options.alpha,
            beta=options.beta,
            candidates=options.candidates,
            period=options.period,
        )


class BackpropDai8(Int8Chain[BackpropDai8Options], about=BACKPROP_DAI8):
    """Gradients rounded per output unit, each with a range that depends on its distribution."""

    def __init__(self, model: Mlp, options: BackpropDai8Options, *, seed: int = 0) -> None:
        if options.k * options.a > 1:
            raise ConfigurationError(
                f"backprop_dai8: k={options.k} and a={options.a} make the range of the step before"
                " count negatively; k times a must be at most 1"
            )
        super().__init__(model, options, seed=seed)

    def _make_quantiser(self) -> GradientQuantiser:
        options = self.options
        return DistributionAdaptive(
            self.model,
            options.rounding,
            options.kernel,
            share=options.share,
            k=options.k,
            step=options.a,
        )
