"""The options of backpropagation; see :mod:`trainfit.algorithms.backprop.rule`."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.options import (
    Description,
    LossOptions,
    OptimizerName,
    Precision,
    check_nesterov,
)


class SliceRule(StrEnum):
    """Slices that are trained in a pass."""

    DESCRIBED = "described"
    RELEASED = "released"


class Update(StrEnum):
    """When a gradient is applied."""

    SEPARATE = "separate"
    FUSED = "fused"
    PRODUCT = "product"


class BackpropOptions(LossOptions):
    """Options of ``backprop``."""

    optimizer: OptimizerName = OptimizerName.SGD
    """Update rule."""
    lr: float = Field(default=0.05, gt=0)
    """Learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of ``optimizer=sgd``; 0 keeps no buffer."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Factor of every parameter, biases too, that is added to its gradient (L2 penalty, as in
    ``torch.optim``)."""
    nesterov: bool = False
    """Nesterov's form of the momentum of ``optimizer=sgd``."""
    checkpoint: int = Field(default=0, ge=0)
    """Hidden layers per recomputed segment; 0 keeps all activations."""
    micro_batch: int = Field(default=0, ge=0)
    """Rows per forward and backward pass; 0 is the whole batch."""
    update: Update = Update.SEPARATE
    """When a gradient is applied: after the backward pass, as soon as it exists (``fused``), or as
    it is computed (``product``): no gradient of a weight exists, with Adam that of a few rows."""
    weights: Precision = Precision.FLOAT
    """Number format of the hidden layers' weights."""
    activations: Precision = Precision.FLOAT
    """Number format of the hidden layers' activations."""
    slices: int = Field(default=1, ge=1)
    """M: every hidden layer's weight is cut into M x M slices, one pattern of them per pass."""
    slice_rule: SliceRule = SliceRule.DESCRIBED
    """Slices trained in a pass: one (``described``), or all but one diagonal block (``released``,
    as TinyFoA's released code trains its backpropagation baseline)."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        check_nesterov(self.optimizer, self.momentum, nesterov=self.nesterov)
        return self

    @property
    def closed_form(self) -> bool:
        """Whether the step is in closed form instead of autograd's."""
        binary = Precision.BINARY in (self.weights, self.activations)
        return binary or self.slices > 1 or self.slice_rule is SliceRule.RELEASED


def check_together(options: BackpropOptions) -> None:
    """Refuse choices that exclude each other.

    Raises:
        ConfigurationError: The message names both.
    """
    if options.update is not Update.SEPARATE and options.micro_batch:
        does = "frees each gradient at once" if options.update is Update.FUSED else "makes none"
        raise ConfigurationError(
            f"backprop: update={options.update} {does}, micro_batch keeps them until the last"
            " rows; choose one"
        )


BACKPROP = Description(
    "backprop",
    "backpropagation, in memory-saving and in binary forms",
    "Rumelhart, Hinton & Williams, Nature 323, 1986",
    BackpropOptions,
)
