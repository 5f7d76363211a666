"""The options of ASI; see :mod:`trainfit.algorithms.asi.rule`."""

from __future__ import annotations

from pydantic import Field

from trainfit.algorithms.options import Description, LossOptions, TrainingOptions


class AsiOptions(LossOptions, TrainingOptions):
    """Options of ``asi``."""

    rank: int = Field(default=4, ge=1)
    """Columns of a factor; at most the width of the layer's input and the rows of the batch."""
    layers: str = "all"
    """Layers whose stored input is factorised: ``all``, ``last:N`` or numbers from 1, such as
    ``1,3``; the inputs of the others are stored whole."""
    warm_start: bool = True
    """Whether the subspace of the last batch is kept, to start from; else from random numbers."""


ASI = Description(
    "asi",
    "backpropagation that stores low-rank factors of activations",
    "Nguyen et al., Activation Subspace Iteration, ICML 2025",
    AsiOptions,
)
