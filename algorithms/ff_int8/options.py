"""The options of FF-INT8; see :mod:`trainfit.algorithms.ff_int8.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.forward_forward.options import Goodness
from trainfit.algorithms.options import AlgorithmOptions, Decay, Description, Int8Kernel, Rounding


class Master(StrEnum):
    """What weights are between steps."""

    INT8 = "int8"
    FP32 = "fp32"


class Lookahead(StrEnum):
    """What a layer knows of the losses above it."""

    OFF = "off"
    DETACHED = "detached"
    TRUE = "true"


class FfInt8Options(AlgorithmOptions):
    """Options of ``ff_int8``."""

    master: Master = Master.INT8
    """What weights are between steps."""
    rounding: Rounding = Rounding.STOCHASTIC
    """Of activations and gradients; updates of INT8 weights are always rounded stochastically."""
    lookahead: Lookahead = Lookahead.OFF
    lookahead_step: float = Field(default=0.001, ge=0)
    """By how much lambda, the weight of later layers, grows per pass over the data."""
    lr: float = Field(default=1.0, gt=0)
    """Divided by the number of a layer's inputs."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    decay: Decay = Decay.CONSTANT
    goodness: Goodness = Goodness.SUM
    threshold: float | None = Field(default=None, gt=0)
    """Theta, in units of the chosen goodness; by default that of a mean square of 1."""
    label_scale: float = Field(default=1.0, gt=0)
    """Value written into the pixel of the label."""
    kernel: Int8Kernel = Int8Kernel.COMPILED
    """What computes; no influence on the result."""


FF_INT8 = Description(
    "ff_int8",
    "FF-INT8: Forward-Forward in INT8, with or without look-ahead",
    "Ma, Panda & Reda, DAC 2025, arXiv 2506.22771",
    FfInt8Options,
)
