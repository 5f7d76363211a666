"""The options of Forward-Forward, and which of them can be combined.

Variants in use, which differ in bytes or accuracy:

* ``passes=sequential``: the positive pass through all layers, each updated during the pass, then
  the negative one. ``joint``: both as one batch of twice the rows, with one update; SymBa's loss
  (Lee & Song 2023) needs it. ``weight_decay`` is part of every update: a sequential step has two.
* ``negatives=random``: any wrong label. ``hard``: labels that a classifier on the activities
  confuses with the true one.
* ``score=head``: that classifier, which needs one pass, predicts the class.
* ``peer``: pulls a unit's mean activity towards the layer's, so that no unit is always silent or
  always active; see :mod:`trainfit.algorithms.forward_forward.peers`, also for the strength in
  other people's code. With binary activations a tenth of the usual strength is enough.
* ``implementation=autograd``: the usual form, for comparison.
* ``weights=binary``, ``activations=binary``:
  :mod:`trainfit.algorithms.forward_forward.binary.layers`.

Of released code, but for weight decay, these options express

* Hinton's ``ffnew.m``: ``passes=joint``, ``score=head``, ``peer=lambdamean``, and ``lr = epsilon
  (1 - delay) / 2``, for his gradient of the goodness is half of ours and his momentum averages.
* loeweX/Forward-Forward and that of TinyFoA: ``passes=joint``, ``score=head``,
  ``init=fan_out``, ``peer = 0.2 / O`` times theirs in a layer of O units, and half of their ``lr``:
  their cross-entropy is a mean over the rows of both passes, 2 B of them.

mohammadpz/pytorch_forward_forward cannot be expressed: it scales rows to length 1 instead of a mean
square of 1, writes labels as bright as the brightest pixel of the batch, draws negative labels by a
permutation of the true ones, which may leave a label as it was, and trains a layer to the end
before the next one begins. No released code is known whose passes are sequential.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.options import Description, Precision, TrainingOptions


class Implementation(StrEnum):
    """How the local gradient is computed."""

    CLOSED_FORM = "closed_form"
    AUTOGRAD = "autograd"


class Init(StrEnum):
    """The number whose inverse is the variance of a layer's first weights."""

    FAN_IN = "fan_in"
    FAN_OUT = "fan_out"


class Passes(StrEnum):
    """Order of the two passes."""

    SEQUENTIAL = "sequential"
    JOINT = "joint"


class Negatives(StrEnum):
    """Source of the wrong labels."""

    RANDOM = "random"
    HARD = "hard"


class Score(StrEnum):
    """What predicts the class of an image."""

    GOODNESS = "goodness"
    HEAD = "head"


class Goodness(StrEnum):
    """The quantity compared with the threshold, or between classes."""

    SUM = "sum"  # of squares
    MEAN = "mean"  # of squares
    RELU_MEAN = "relu_mean"  # of the outputs of a rectifier


class Labels(StrEnum):
    """How a convolutional net is told a sample's label."""

    PIXELS = "pixels"  # over the first values of the sample
    PLANE = "plane"  # a channel more
    CHANNELS = "channels"  # not at all: every class has channels of its own


class Loss(StrEnum):
    """Loss as a function of the goodness."""

    LOGISTIC = "logistic"
    SYMBA = "symba"


class ForwardForwardOptions(TrainingOptions):
    """Options of ``forward_forward``."""

    implementation: Implementation = Implementation.CLOSED_FORM
    """How the local gradient is computed."""
    passes: Passes = Passes.SEQUENTIAL
    """Positive and negative pass one after the other, or as one batch."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of the hidden layers."""
    goodness: Goodness = Goodness.SUM
    """Sum or mean of squares, compared with the threshold; with ``labels=channels``, between
    classes, and there ``relu_mean``, the mean of a rectifier's outputs (DeeperForward)."""
    labels: Labels = Labels.PIXELS
    """How a convolutional net is told a label: over the first values of the sample, as a channel
    more, or not at all, every class having channels of its own (CwC)."""
    loss: Loss = Loss.LOGISTIC
    """Loss of a layer: logistic (Hinton 2022), or that of SymBa (Lee & Song 2023)."""
    threshold: float | None = Field(default=None, gt=0)
    """Theta, in units of the goodness; by default the goodness of a mean square of 1."""
    symba_scale: float = Field(default=4.0, gt=0)
    """Alpha of ``loss=symba``, the factor of its goodness difference (SymBa, Lee & Song 2023)."""
    negatives: Negatives = Negatives.RANDOM
    """Wrong labels: any, or those that a classifier on the activities confuses with the true."""
    score: Score = Score.GOODNESS
    """Prediction by goodness, in one pass per class, or by a classifier on the activities."""
    head_lr: float = Field(default=0.01, gt=0)
    """Learning rate of the classifier on the activities, if there is one; 0.01 as in the
    Forward-Forward code released with TinyFoA."""
    head_weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of that classifier, as ``weight_decay`` is of the hidden layers. loeweX's code
    has 3e-3, and 3e-4 for layers whose loss is half of ours: 6e-4 here, at half its rate."""
    peer: float = Field(default=0.0, ge=0)
    """Strength of peer normalisation, Hinton's lambdamean (his is 0.03); 0 is off."""
    init: Init = Init.FAN_IN
    """Inverse variance of a layer's first weights: its inputs, or its units (loeweX)."""
    label_scale: float = Field(default=1.0, gt=0)
    """Value written into the pixel of the label."""
    weights: Precision = Precision.FLOAT
    """Number format of the hidden layers' weights."""
    activations: Precision = Precision.FLOAT
    """Number format of the hidden layers' activations."""

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
        ConfigurationError: The message names both.
    """
    if options.goodness is Goodness.RELU_MEAN and options.labels is not Labels.CHANNELS:
        raise ConfigurationError(
            "forward_forward: goodness=relu_mean is compared between classes and needs"
            " labels=channels; with a threshold take sum or mean"
        )
    if options.labels is Labels.CHANNELS:
        _refuse_what_is_for_labels(options)
    if options.loss is Loss.SYMBA and options.passes is not Passes.JOINT:
        raise ConfigurationError(
            "forward_forward: loss=symba compares the two passes and needs passes=joint"
        )
    plain: dict[str, Any] = {
        "passes": Passes.SEQUENTIAL,
        "negatives": Negatives.RANDOM,
        "score": Score.GOODNESS,
    }
    plain |= {"loss": Loss.LOGISTIC}
    plain |= {"weights": Precision.FLOAT, "activations": Precision.FLOAT}
    changed = [key for key, value in plain.items() if getattr(options, key) != value]
    if options.implementation is Implementation.AUTOGRAD and changed:
        raise ConfigurationError(
            f"forward_forward: implementation=autograd knows nothing of {', '.join(changed)};"
            " leave it out or take implementation=closed_form"
        )


def _refuse_what_is_for_labels(options: ForwardForwardOptions) -> None:
    """Refuse what makes no sense where no label is told.

    Raises:
        ConfigurationError: The message names the option.
    """
    fields = ForwardForwardOptions.model_fields
    for name in ("passes", "loss", "threshold", "label_scale", "symba_scale"):
        if getattr(options, name) != fields[name].default:
            raise ConfigurationError(
                f"forward_forward: {name} has no effect with labels=channels, where there is one"
                " pass and a cross-entropy between classes; leave it out"
            )
