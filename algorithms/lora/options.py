"""The options of LoRA; see :mod:`trainfit.algorithms.lora.rule`."""

from __future__ import annotations

from pydantic import Field

from trainfit.algorithms.options import Description, LossOptions, TrainingOptions
from trainfit.algorithms.sparse_update.options import Frozen


class LoraOptions(LossOptions, TrainingOptions):
    """Options of ``lora``."""

    rank: int = Field(default=4, ge=1)
    """r: columns of B and rows of A, of every adapted layer."""
    alpha: float = Field(default=4.0, gt=0)
    """Factor of the adapters' part, which is ``alpha / rank``."""
    layers: str = "all"
    """Layers with an adapter: ``all``, ``last:N``, ``none`` or numbers from 1, such as ``1,3``."""
    biases: str = "none"
    """Biases to train, as ``layers``; the paper freezes them."""
    frozen: Frozen = Frozen.RAM
    """Memory of the parameters that are never written."""


LORA = Description(
    "lora",
    "frozen weights, backpropagation into low-rank factors beside them",
    "Hu et al., ICLR 2022",
    LoraOptions,
)
