"""The options of FF-INT8; see :mod:`trainfit.algorithms.ff_int8.rule`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.forward_forward.options import Goodness, Labels
from trainfit.algorithms.options import (
    AlgorithmOptions,
    Decay,
    Description,
    Int8Kernel,
    OptimizerName,
    Rounding,
    check_nesterov,
)


class Master(StrEnum):
    """Number format of the weights between steps."""

    INT8 = "int8"
    FP32 = "fp32"


class Lookahead(StrEnum):
    """How the losses of later layers reach a layer."""

    OFF = "off"
    DETACHED = "detached"
    TRUE = "true"


class FfInt8Options(AlgorithmOptions):
    """Options of ``ff_int8``."""

    refused: ClassVar[Mapping[str, str]] = {
        "loss": "it has no classifier, every layer's loss is that of its goodness; see goodness"
    }

    master: Master = Master.INT8
    """Number format of the weights between steps."""
    rounding: Rounding = Rounding.STOCHASTIC
    """Rounding of activations and gradients; updates of INT8 weights are always stochastic."""
    lookahead: Lookahead = Lookahead.OFF
    """How the losses of later layers reach a layer."""
    lookahead_step: float = Field(default=0.001, ge=0)
    """Growth of lambda, the weight of the later losses, per pass over the data, from 0; 0.001 as in
    the paper's look-ahead."""
    lr: float = Field(default=1.0, gt=0)
    """Learning rate, to be divided by the number of a layer's inputs."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of ``master=fp32``; 0 keeps no buffer."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Factor of every parameter, biases too, that is added to its gradient (L2 penalty, as in
    ``torch.optim.SGD``), so it decays at the rate that is divided by the number of inputs."""
    nesterov: bool = False
    """Nesterov's form of the momentum of ``master=fp32``."""
    decay: Decay = Decay.CONSTANT
    """Schedule of the learning rate."""
    goodness: Goodness = Goodness.SUM
    """Sum or mean of squares, compared with the threshold."""
    threshold: float | None = Field(default=None, gt=0)
    """Theta, in units of the goodness; by default the goodness of a mean square of 1."""
    label_scale: float = Field(default=1.0, gt=0)
    """Value written into the pixel of the label."""
    labels: Labels = Labels.PIXELS
    """How a convolutional net is told a label: ``pixels`` or ``plane``."""
    kernel: Int8Kernel = Int8Kernel.COMPILED
    """Implementation of the INT8 arithmetic; no influence on the result."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        check_nesterov(OptimizerName.SGD, self.momentum, nesterov=self.nesterov)
        return self


def check_together(options: FfInt8Options) -> None:
    """Refuse momentum without float32 weights, and a goodness without squares.

    Raises:
        ConfigurationError: The message names the option.
    """
    if options.goodness is Goodness.RELU_MEAN:
        raise ConfigurationError(
            "ff_int8: goodness=relu_mean is compared between classes, as forward_forward does with"
            " labels=channels; use goodness=sum or goodness=mean"
        )
    if options.momentum and options.master is Master.INT8:
        raise ConfigurationError(
            "momentum of ff_int8 is a float32 state of float32 weights: use master=fp32"
            f" with momentum={options.momentum}, or momentum=0 with master=int8"
        )


FF_INT8 = Description(
    "ff_int8",
    "FF-INT8: Forward-Forward in INT8, with or without look-ahead",
    "Ma, Panda & Reda, DAC 2025, arXiv 2506.22771",
    FfInt8Options,
)
