"""How a learning rate falls over the passes of a training."""

from __future__ import annotations

import math

from trainfit.algorithms.options import Decay


def rate_factor(decay: Decay, epoch: int, epochs: int) -> float:
    """The factor for pass ``epoch`` (from 0) of ``epochs``; above 0 in every pass."""
    if decay is Decay.LINEAR:
        return min(1.0, 2.0 * (epochs - epoch) / (epochs + 1))
    if decay is Decay.STEP:
        return 0.1 ** ((10 * epoch >= 6 * epochs) + (10 * epoch >= 9 * epochs))
    if decay is Decay.COSINE:
        return 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
    return 1.0
