"""The options of rules with INT8 products."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.backprop.options import BackpropOptions
from trainfit.algorithms.options import Description, Int8Kernel, Rounding, TrainingOptions


class Int8Options(TrainingOptions):
    """What all rules with INT8 products can be asked for."""

    kernel: Int8Kernel = Int8Kernel.COMPILED
    """What computes the products and the rounding; no influence on the result."""


class WeightGradient(StrEnum):
    """How much of a weight gradient exists at once."""

    ROWS = "rows"
    WHOLE = "whole"


class RoundedOptions(Int8Options):
    """What rules with INT8 gradients can be asked for."""

    rounding: Rounding = Rounding.NEAREST
    """Of gradients; activations are rounded to the nearest."""
    weight_gradient: WeightGradient = WeightGradient.ROWS
    """How much of it exists at once."""


class Master(StrEnum):
    """In what weights exist between steps."""

    INT8 = "int8"
    FP32 = "fp32"  # beside INT8 copies, which the products read


class BackpropInt8Options(RoundedOptions):
    """Options of ``backprop_int8``."""

    momentum: float = Field(default=0.0, ge=0, lt=1)
    master: Master = Master.INT8
    rounding: Rounding = Rounding.NEAREST
    """Of gradients, and of weights with ``master=int8``; activations go to the nearest."""


class BackpropUi8Options(RoundedOptions):
    """Options of ``backprop_ui8``."""

    rounding: Rounding = Rounding.STOCHASTIC
    """Of gradients; weights and activations go to the nearest."""
    alpha: float = Field(default=20.0, ge=0)
    """How fast the learning rate falls with the deviation d_c."""
    beta: float = Field(default=0.1, ge=0, le=1)
    """The factor below which the learning rate does not fall."""
    candidates: int = Field(default=10, ge=1)
    """Clipping values that are tried, equal parts of the largest magnitude."""
    period: int = Field(default=1, ge=1)
    """Steps over which the candidates are spread; divides their number."""


class BackpropDai8Options(RoundedOptions):
    """Options of ``backprop_dai8``."""

    share: float = Field(default=0.3, ge=0, le=1)
    """lambda: a channel is Gaussian if more of it than this is beyond sigma."""
    k: float = Field(default=1.0, ge=0)
    a: float = Field(default=0.8, gt=0, le=1)
    """k and A of the range of other channels."""


class PtqInt8Options(BackpropOptions):
    """Options of ``ptq_int8``: those of ``backprop`` for float nets, and what predicts."""

    kernel: Int8Kernel = Int8Kernel.COMPILED
    """What computes the prediction; no influence on the result."""


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
