"""The options of rules that teach through fixed random matrices."""

from __future__ import annotations

from enum import StrEnum

from trainfit.algorithms.options import BinarisedOptions, Description


class Activation(StrEnum):
    """What follows a hidden layer's product."""

    TANH = "tanh"
    RELU = "relu"


class ErrorSignal(StrEnum):
    """What is projected to the hidden layers."""

    ERROR = "error"
    SIGN = "sign"  # sDFA


class DfaOptions(BinarisedOptions):
    """Options of ``dfa``."""

    signal: ErrorSignal = ErrorSignal.ERROR
    activation: Activation = Activation.TANH


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
    BinarisedOptions,
)
