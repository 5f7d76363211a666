"""What can be chosen of rules, without the rules: importing options imports no torch.

Each rule's own are in ``options.py`` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class AlgorithmOptions(BaseModel):
    """Base of every algorithm's options: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Description:
    """A rule as people choose it, known without importing it (and torch with it).

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
    """Update rules an algorithm can be asked for."""

    SGD = "sgd"
    ADAM = "adam"


class Decay(StrEnum):
    """The factor on the learning rate, over the passes of one stage."""

    CONSTANT = "constant"
    LINEAR = "linear"  # whole for the first half of the passes, then down in a line towards 0
    STEP = "step"  # a tenth after 60 % of the passes, a hundredth after 90 %, as PEPITA has it
    COSINE = "cosine"


class Precision(StrEnum):
    """What weights or activations are made of."""

    FLOAT = "float"
    BINARY = "binary"


class Rounding(StrEnum):
    """How a number becomes an integer."""

    NEAREST = "nearest"  # halves to even
    STOCHASTIC = "stochastic"  # up with a probability equal to the fraction


class Int8Kernel(StrEnum):
    """What computes with INT8; both give the same bits."""

    COMPILED = "compiled"
    TORCH = "torch"


class RateOptions(AlgorithmOptions):
    """A rate and its schedule: all that plain descent, which keeps no state, has to know."""

    lr: float = Field(default=0.05, gt=0)
    decay: Decay = Decay.CONSTANT


class TrainingOptions(RateOptions):
    """How weights follow their gradients, whatever rule the gradients come from."""

    optimizer: OptimizerName = OptimizerName.SGD
    momentum: float = Field(default=0.9, ge=0, lt=1)


class BinarisedOptions(TrainingOptions):
    """Options of rules that have a binarised form."""

    weights: Precision = Precision.FLOAT
    """Of the hidden layers, as products read them; latent weights are float."""
    activations: Precision = Precision.FLOAT
    """Of the hidden layers."""
