"""The options of PEPITA and MEM-PEPITA; see :mod:`trainfit.algorithms.pepita.rule`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from trainfit.algorithms.options import BinarisedOptions, Decay, Description


class OutputError(StrEnum):
    """Which pass's error teaches the classifier."""

    MODULATED = "modulated"
    STANDARD = "standard"


class PepitaOptions(BinarisedOptions):
    """Options of ``pepita`` and ``mem_pepita``."""

    lr: float = Field(default=0.1, gt=0)
    decay: Decay = Decay.STEP
    keep: float = Field(default=0.9, gt=0, le=1)
    """Probability that a hidden unit stays in a step; 1 is no dropout."""
    feedback_scale: float = Field(default=0.05, gt=0)
    """F's bound in units of sqrt(6 / inputs)."""
    output_error: OutputError = OutputError.MODULATED


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
