"""The losses of ``backprop``, for autograd."""

from __future__ import annotations

import torch
from torch.nn import functional

from trainfit.algorithms.options import Loss


def mean_loss(logits_BC: torch.Tensor, y_B: torch.Tensor, loss: Loss) -> torch.Tensor:
    """The loss of a batch, a scalar that has a gradient if the logits have.

    Args:
        logits_BC: float32, shape (B, C).
        y_B: Labels, int64.
        loss: The softmax's cross-entropy, a mean over B; or that of C logistic regressions, over B
            C.
    """
    if loss is Loss.CROSS_ENTROPY:
        return functional.cross_entropy(logits_BC, y_B)
    target_BC = torch.zeros_like(logits_BC).scatter_(1, y_B[:, None], 1.0)
    return functional.binary_cross_entropy_with_logits(logits_BC, target_BC)
