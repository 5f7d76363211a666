"""The options of direct feedback alignment and DRTP."""

from __future__ import annotations

from enum import StrEnum

from trainfit.algorithms.options import BinarisedOptions, Description, LossOptions


class Activation(StrEnum):
    """Activation function of the hidden layers."""

    TANH = "tanh"
    RELU = "relu"


class ErrorSignal(StrEnum):
    """Signal that is projected to the hidden layers."""

    ERROR = "error"
    SIGN = "sign"  # sDFA


class HiddenGradient(StrEnum):
    """What a hidden layer's gradient is over the batch; the classifier's is always a mean."""

    MEAN = "mean"
    SUM = "sum"


class FanIn(StrEnum):
    """Size n in the bound sqrt(6 / n) of a fixed matrix of C classes times O units."""

    CLASSES = "classes"
    UNITS = "units"


class FeedbackOptions(LossOptions, BinarisedOptions):
    """Options of ``dfa`` and ``drtp``."""

    hidden_gradient: HiddenGradient = HiddenGradient.MEAN
    """Gradients of the hidden layers over the batch: the mean, or the sum, as in the released code
    of DRTP."""
    feedback_fan_in: FanIn = FanIn.CLASSES
    """Size n in the bound sqrt(6 / n) of the fixed matrices: the classes that are projected, or the
    layer's units, as in the released code of DRTP."""


class DfaOptions(FeedbackOptions):
    """Options of ``dfa``."""

    signal: ErrorSignal = ErrorSignal.ERROR
    """Signal projected to the hidden layers: the error (DFA), or its sign (sDFA, as in the released
    code of DRTP)."""
    activation: Activation = Activation.TANH
    """Activation function of the hidden layers: tanh, as in the released code of DRTP, or
    rectifier."""


DFA = Description(
    "dfa",
    "direct feedback alignment: the error teaches through fixed matrices",
    "Nokland, NIPS 29, 2016",
    DfaOptions,
)

DRTP = Description(
    "drtp",
    "direct random target projection: labels teach, on the way forward",
    "Frenkel, Lefebvre & Bol, Front. Neurosci. 15:629892, 2021",
    FeedbackOptions,
)
