"""The options of PEPITA and MEM-PEPITA; see :mod:`trainfit.algorithms.pepita.rule`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from trainfit.algorithms.options import BinarisedOptions, Decay, Description


class OutputError(StrEnum):
    """The pass whose error trains the classifier."""

    MODULATED = "modulated"
    STANDARD = "standard"


class Positions(StrEnum):
    """What the update of a convolution is over its positions."""

    MEAN = "mean"
    SUM = "sum"


class PepitaOptions(BinarisedOptions):
    """Options of ``pepita`` and ``mem_pepita``."""

    refused: ClassVar[Mapping[str, str]] = {
        "loss": "its error, which modulates the input too, is softmax(a) - y*; leave it out"
    }

    lr: float = Field(default=0.1, gt=0)
    """Learning rate."""
    decay: Decay = Decay.STEP
    """Schedule of the learning rate."""
    keep: float = Field(default=0.9, gt=0, le=1)
    """Probability that a hidden unit stays in a step; 1 is no dropout."""
    feedback_scale: float = Field(default=0.05, gt=0)
    """Bound of F's elements in units of sqrt(6 / inputs); 0.05 in the authors' released code."""
    output_error: OutputError = OutputError.MODULATED
    """Error that trains the classifier: that of the modulated pass, or of the standard pass, as in
    the released code of Srinivasan et al. (arXiv 2302.05440)."""
    positions: Positions = Positions.MEAN
    """Update of a convolution: the mean over its positions, as in the authors' released code, or
    their sum. Without influence on a fully connected net."""


MEM_PEPITA = Description(
    "mem_pepita",
    "PEPITA without kept activations: the standard pass is run again",
    "Pau & Aymone, COINS 2023, doi 10.1109/COINS57856.2023.10189239",
    PepitaOptions,
)

PEPITA = Description(
    "pepita",
    "PEPITA: a second forward pass on an input modulated by the error",
    "Dellaferrera & Kreiman, ICML 2022, arXiv 2201.11665",
    PepitaOptions,
)
