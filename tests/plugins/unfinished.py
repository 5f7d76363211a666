"""An algorithm that somebody has only begun to write."""

from __future__ import annotations

import torch

from trainfit.algorithms import Algorithm, AlgorithmOptions


class Rule(Algorithm[AlgorithmOptions]):
    """Neither abstract methods nor a paper."""

    name = "unfinished"
    summary = "not much yet"
    options_type = AlgorithmOptions

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Nothing."""
