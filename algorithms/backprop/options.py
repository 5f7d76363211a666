"""The options of backpropagation; see :mod:`trainfit.algorithms.backprop.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.options import (
    Description,
    LossOptions,
    Precision,
    TrainingOptions,
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


class BackpropOptions(LossOptions, TrainingOptions):
    """Options of ``backprop``."""

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
