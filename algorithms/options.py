"""Options and descriptions of rules, which can be imported without torch.

The options of a rule are in its folder's ``options.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class AlgorithmOptions(BaseModel):
    """Base of every algorithm's options: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    refused: ClassVar[Mapping[str, str]] = {}
    """Options of other rules that make no sense for this one, and why; the refusal says so."""


@dataclass(frozen=True)
class Description:
    """A rule for the user to choose, without importing it (and torch).

    Attributes:
        name: The registered name.
        summary: One line for ``trainfit algorithms``.
        paper: Where the rule comes from.
        options_type: The pydantic model of its options.
    """

    name: str
    summary: str
    paper: str
    options_type: type[AlgorithmOptions]


class OptimizerName(StrEnum):
    """Names of the update rules."""

    SGD = "sgd"
    ADAM = "adam"


class Decay(StrEnum):
    """The factor on the learning rate, over the passes of one stage."""

    CONSTANT = "constant"
    LINEAR = "linear"  # 1 for the first half of the passes, then linearly towards 0
    STEP = "step"  # a tenth after 60 % of the passes, a hundredth after 90 %, as in PEPITA
    COSINE = "cosine"


class Loss(StrEnum):
    """Loss of a classifier."""

    CROSS_ENTROPY = "cross_entropy"  # of the softmax, the mean over the batch
    BINARY_CROSS_ENTROPY = "binary_cross_entropy"  # of sigmoids, over the batch and the classes


class Precision(StrEnum):
    """Number format of weights or activations."""

    FLOAT = "float"
    BINARY = "binary"


class Rounding(StrEnum):
    """Rounding of a number to an integer."""

    NEAREST = "nearest"  # halves to even
    STOCHASTIC = "stochastic"  # up with a probability equal to the fraction


class Int8Kernel(StrEnum):
    """Implementation of the INT8 arithmetic; both give the same bits."""

    COMPILED = "compiled"
    TORCH = "torch"


def check_nesterov(optimizer: OptimizerName, momentum: float, *, nesterov: bool) -> None:
    """Refuse Nesterov's momentum where there is no momentum.

    Raises:
        PydanticCustomError: pydantic adds the rule's options.
    """
    if nesterov and (optimizer is not OptimizerName.SGD or not momentum):
        raise PydanticCustomError(
            "nesterov",
            "nesterov=true is a form of the momentum of SGD and needs optimizer=sgd with momentum"
            " above 0",
        )


class RateOptions(AlgorithmOptions):
    """A rate and its schedule, for plain descent without state."""

    lr: float = Field(default=0.05, gt=0)
    """Learning rate."""
    decay: Decay = Decay.CONSTANT
    """Schedule of the learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Factor of every trained parameter, biases too, that is added to its gradient (L2 penalty, as
    in ``torch.optim``)."""


class TrainingOptions(RateOptions):
    """A rate, its schedule, and an update rule for the gradients of any rule."""

    optimizer: OptimizerName = OptimizerName.SGD
    """Update rule."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of ``optimizer=sgd``; 0 keeps no buffer."""
    nesterov: bool = False
    """Nesterov's form of the momentum of ``optimizer=sgd``."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        check_nesterov(self.optimizer, self.momentum, nesterov=self.nesterov)
        return self


class LossOptions(AlgorithmOptions):
    """The loss, for rules that train one classifier; to be inherited beside the other options."""

    loss: Loss = Loss.CROSS_ENTROPY
    """Loss of the classifier: the softmax's cross-entropy (mean over the batch), or the sigmoids'
    binary cross-entropy (mean over batch and classes)."""


class BinarisedOptions(TrainingOptions):
    """Options of rules that have a binarised form."""

    weights: Precision = Precision.FLOAT
    """Number format of the hidden layers' weights in products; latent weights are float."""
    activations: Precision = Precision.FLOAT
    """Number format of the hidden layers' activations."""
