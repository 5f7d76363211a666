"""The options of rules with INT8 products."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.backprop.options import BackpropOptions
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.options import (
    Description,
    Int8Kernel,
    LossOptions,
    OptimizerName,
    Rounding,
    TrainingOptions,
)


class Int8Options(LossOptions, TrainingOptions):
    """Options of all rules with INT8 products."""

    kernel: Int8Kernel = Int8Kernel.COMPILED
    """Implementation of products and rounding; no influence on the result."""


class WeightGradient(StrEnum):
    """Part of a weight gradient that exists at once."""

    ROWS = "rows"
    WHOLE = "whole"


class RoundedOptions(Int8Options):
    """Options of all rules with INT8 gradients."""

    rounding: Rounding = Rounding.NEAREST
    """Rounding of gradients; activations are rounded to the nearest."""
    weight_gradient: WeightGradient = WeightGradient.ROWS
    """Part of a weight gradient that exists at once: a few rows, or a whole layer's."""


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


def check_master(options: BackpropInt8Options) -> None:
    """Refuse an optimiser with a state where no float matrix is to be kept.

    Raises:
        ConfigurationError: There is one.
    """
    if options.master is Master.INT8 and (
        options.momentum or options.optimizer is not OptimizerName.SGD
    ):
        raise ConfigurationError(
            "backprop_int8: master=int8 keeps no float matrix, and an optimiser's state is one;"
            " use momentum=0 and optimizer=sgd, or master=fp32"
        )


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


class BackpropDai8Options(RoundedOptions):
    """Options of ``backprop_dai8``."""

    share: float = Field(default=0.3, ge=0, le=1)
    """lambda of DAI8: a channel is Gaussian if more than this fraction of it is beyond sigma."""
    k: float = Field(default=1.0, ge=0)
    """k of DAI8's range of the other channels, (1 - k A) s_{t-1} + A max abs(g)."""
    a: float = Field(default=0.8, gt=0, le=1)
    """A of DAI8's range of the other channels."""


class PtqInt8Options(BackpropOptions):
    """Options of ``ptq_int8``: those of ``backprop`` for float nets, and a kernel."""

    kernel: Int8Kernel = Int8Kernel.COMPILED
    """Implementation of the prediction; no influence on the result."""


BACKPROP_DAI8 = Description(
    "backprop_dai8",
    "INT8 backpropagation with gradient ranges by channel (DAI8)",
    "Zhao et al., AAAI 2021, arXiv 2102.04782",
    BackpropDai8Options,
)

BACKPROP_INT8 = Description(
    "backprop_int8",
    "backpropagation in INT8, naive: weights, activations and gradients",
    "baseline of Ma, Panda & Reda, DAC 2025, arXiv 2506.22771",
    BackpropInt8Options,
)

BACKPROP_UI8 = Description(
    "backprop_ui8",
    "INT8 backpropagation that keeps the direction of its gradients (UI8)",
    "Zhu et al., CVPR 2020, arXiv 1912.12607",
    BackpropUi8Options,
)

PTQ_INT8 = Description(
    "ptq_int8",
    "post-training quantisation: float32 backpropagation, INT8 prediction",
    "Jacob et al., CVPR 2018, arXiv 1712.05877 (integer-only inference)",
    PtqInt8Options,
)

QAT_INT8 = Description(
    "qat_int8",
    "quantisation-aware training: INT8 forward pass, float32 gradients",
    "Jacob et al., CVPR 2018, arXiv 1712.05877",
    Int8Options,
)
