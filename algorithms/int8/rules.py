"""Backpropagation in INT8 with plain rounding, UI8 and DAI8; ``chain`` has the chain rule.

* ``backprop_int8`` is naive: ranges are largest magnitudes of whole tensors, rounding is to the
  nearest, and with ``master=int8`` weights exist in INT8 only: ``w - lr dw`` is rounded back in
  every step, its largest magnitude being the new range. A change of less than half a step of that
  grid is lost, so it falls behind, the more so at low rates. There is no optimiser, because its
  state would be a float matrix. ``master=fp32`` keeps float32 weights, updates them with any
  optimiser and rounds them to INT8 afterwards.
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

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from trainfit.algorithms.contract import AlgorithmOptions
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.int8.chain import Int8Chain, RoundedOptions
from trainfit.algorithms.int8.dai8_clipping import DistributionAdaptive
from trainfit.algorithms.int8.gradients import GradientQuantiser, MaxAbs
from trainfit.algorithms.int8.ui8_clipping import DirectionSensitive
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8.quantise import Rounding
from trainfit.algorithms.numerics.optimisers import OptimizerName


class Master(StrEnum):
    """Number format of the weights between steps."""

    INT8 = "int8"
    FP32 = "fp32"  # besides INT8 copies, which the products read


class BackpropInt8Options(RoundedOptions):
    """Options of ``backprop_int8``."""

    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of ``master=fp32`` with ``optimizer=sgd``; 0 keeps no buffer."""
    master: Master = Master.INT8
    """Number format of the weights between steps."""
    rounding: Rounding = Rounding.NEAREST
    """Rounding of gradients, and of weights with ``master=int8``; activations go to the nearest."""


class BackpropInt8(Int8Chain[BackpropInt8Options]):
    """Everything rounded to INT8 with its largest magnitude as range."""

    name: ClassVar[str] = "backprop_int8"
    summary: ClassVar[str] = "backpropagation in INT8, naive: weights, activations and gradients"
    paper: ClassVar[str] = "baseline of Ma, Panda & Reda, DAC 2025, arXiv 2506.22771"
    options_type: ClassVar[type[AlgorithmOptions]] = BackpropInt8Options

    def __init__(self, model: Mlp, options: BackpropInt8Options, *, seed: int = 0) -> None:
        if options.master is Master.INT8 and (
            options.momentum or options.optimizer is not OptimizerName.SGD
        ):
            raise ConfigurationError(
                "backprop_int8: master=int8 keeps no float matrix, and an optimiser's state is one;"
                " use momentum=0 and optimizer=sgd, or master=fp32"
            )
        super().__init__(model, options, seed=seed)

    @property
    def _latent(self) -> bool:
        return self.options.master is Master.FP32

    def _make_quantiser(self) -> GradientQuantiser:
        return MaxAbs(self.model, self.options.rounding, self.options.kernel)


class BackpropUi8Options(RoundedOptions):
    """Options of ``backprop_ui8``."""

    rounding: Rounding = Rounding.STOCHASTIC
    """Rounding of gradients; weights and activations go to the nearest."""
    alpha: float = Field(default=20.0, ge=0)
    """alpha of UI8's learning rate scaling max(exp(-alpha d_c), beta), with the deviation d_c."""
    beta: float = Field(default=0.1, ge=0, le=1)
    """beta of UI8's learning rate scaling, the smallest factor on the rate."""
    candidates: int = Field(default=10, ge=1)
    """Clipping values tried in UI8's gradient clipping, equal parts of the largest magnitude."""
    period: int = Field(default=1, ge=1)
    """Steps over which UI8's search for a clipping value is spread; must divide ``candidates``."""


class BackpropUi8(Int8Chain[BackpropUi8Options]):
    """Gradients clipped to keep their direction; the rate falls with the remaining deviation."""

    name: ClassVar[str] = "backprop_ui8"
    summary: ClassVar[str] = "INT8 backpropagation that keeps the direction of its gradients (UI8)"
    paper: ClassVar[str] = "Zhu et al., CVPR 2020, arXiv 1912.12607"
    options_type: ClassVar[type[AlgorithmOptions]] = BackpropUi8Options

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


class BackpropDai8Options(RoundedOptions):
    """Options of ``backprop_dai8``."""

    share: float = Field(default=0.3, ge=0, le=1)
    """lambda of DAI8: a channel is Gaussian if more than this fraction of it is beyond sigma."""
    k: float = Field(default=1.0, ge=0)
    """k of DAI8's range of the other channels, (1 - k A) s_{t-1} + A max abs(g)."""
    a: float = Field(default=0.8, gt=0, le=1)
    """A of DAI8's range of the other channels."""


class BackpropDai8(Int8Chain[BackpropDai8Options]):
    """Gradients rounded per output unit, each with a range that depends on its distribution."""

    name: ClassVar[str] = "backprop_dai8"
    summary: ClassVar[str] = "INT8 backpropagation with gradient ranges by channel (DAI8)"
    paper: ClassVar[str] = "Zhao et al., AAAI 2021, arXiv 2102.04782"
    options_type: ClassVar[type[AlgorithmOptions]] = BackpropDai8Options

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
