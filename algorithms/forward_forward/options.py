"""The options of Forward-Forward, and which of them go together.

Choices that are in use, each with bytes or accuracy of its own:

* ``passes=sequential``: the positive pass through all layers, each updated on the way, then the
  negative one. ``joint``: both as one batch of twice the rows, one update; SymBa's loss needs it.
* ``negatives=random``: any wrong label. ``hard``: what a classifier on the activities takes it for.
* ``score=head``: that classifier, which needs one pass, says what an image shows.
* ``peer``: pulls a unit's mean activity towards the layer's (peer/2 times the sum of squared
  differences, through a running mean), against units that never or always speak.
* ``implementation=autograd``: the form usually written, for comparison.
* ``weights=binary``, ``activations=binary``:
  :mod:`trainfit.algorithms.forward_forward.binary.layers`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.options import Description, Precision, TrainingOptions


class Implementation(StrEnum):
    """How the local gradient is had."""

    CLOSED_FORM = "closed_form"
    AUTOGRAD = "autograd"


class Passes(StrEnum):
    """How the two passes follow each other."""

    SEQUENTIAL = "sequential"
    JOINT = "joint"


class Negatives(StrEnum):
    """Where wrong labels come from."""

    RANDOM = "random"
    HARD = "hard"


class Score(StrEnum):
    """What says which class an image shows."""

    GOODNESS = "goodness"
    HEAD = "head"


class Goodness(StrEnum):
    """What is compared with the threshold: the sum of squares, or their mean over the layer."""

    SUM = "sum"
    MEAN = "mean"


class Loss(StrEnum):
    """How goodness becomes a loss."""

    LOGISTIC = "logistic"
    SYMBA = "symba"


class ForwardForwardOptions(TrainingOptions):
    """Options of ``forward_forward``."""

    implementation: Implementation = Implementation.CLOSED_FORM
    passes: Passes = Passes.SEQUENTIAL
    lr: float = Field(default=1e-3, gt=0)
    goodness: Goodness = Goodness.SUM
    loss: Loss = Loss.LOGISTIC
    threshold: float | None = Field(default=None, gt=0)
    """Theta, in units of the chosen goodness; by default that of a mean square of 1."""
    symba_scale: float = Field(default=4.0, gt=0)
    """Alpha of ``loss=symba``."""
    negatives: Negatives = Negatives.RANDOM
    score: Score = Score.GOODNESS
    head_lr: float = Field(default=0.01, gt=0)
    """Learning rate of the classifier on the activities, where there is one."""
    peer: float = Field(default=0.0, ge=0)
    label_scale: float = Field(default=1.0, gt=0)
    """Value written into the pixel of the label."""
    weights: Precision = Precision.FLOAT
    activations: Precision = Precision.FLOAT

    @property
    def binarised(self) -> bool:
        """Whether weights, activations or both are binary."""
        return Precision.BINARY in (self.weights, self.activations)

    @property
    def has_head(self) -> bool:
        """Whether there is a classifier on the activities."""
        return self.negatives is Negatives.HARD or self.score is Score.HEAD


FORWARD_FORWARD = Description(
    "forward_forward",
    "Forward-Forward: two forward passes, one local loss per layer",
    "Hinton, arXiv 2212.13345, 2022",
    ForwardForwardOptions,
)


def check_together(options: ForwardForwardOptions) -> None:
    """Refuse choices that exclude each other.

    Raises:
        ConfigurationError: Naming both.
    """
    if options.loss is Loss.SYMBA and options.passes is not Passes.JOINT:
        raise ConfigurationError(
            "forward_forward: loss=symba compares the two passes and needs passes=joint"
        )
    plain: dict[str, Any] = {
        "passes": Passes.SEQUENTIAL,
        "negatives": Negatives.RANDOM,
        "score": Score.GOODNESS,
    }
    plain |= {"loss": Loss.LOGISTIC, "peer": 0.0}
    plain |= {"weights": Precision.FLOAT, "activations": Precision.FLOAT}
    changed = [key for key, value in plain.items() if getattr(options, key) != value]
    if options.implementation is Implementation.AUTOGRAD and changed:
        raise ConfigurationError(
            f"forward_forward: implementation=autograd knows nothing of {', '.join(changed)};"
            " leave it out or take implementation=closed_form"
        )
