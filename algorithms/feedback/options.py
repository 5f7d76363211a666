"""The options of direct feedback alignment and DRTP."""

from __future__ import annotations

from enum import StrEnum

from trainfit.algorithms.options import BinarisedOptions, Description


class Activation(StrEnum):
    """Activation function of the hidden layers."""

    TANH = "tanh"
    RELU = "relu"


class ErrorSignal(StrEnum):
    """Signal that is projected to the hidden layers."""

    ERROR = "error"
    SIGN = "sign"  # sDFA


class DfaOptions(BinarisedOptions):
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
    BinarisedOptions,
)
