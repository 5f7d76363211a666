"""One layer of Forward-Forward in closed form: goodness, its gradient, length normalisation.

With goodness G = sum_o z_o^2 (or the mean) and theta the threshold::

    logistic   L = softplus(theta - G_pos) + softplus(G_neg - theta)
    SymBa      L = softplus(-alpha (G_pos - G_neg))                  (arXiv 2303.08418)
    dL/dz = 2 z dL/dG

so the gradient of z is z itself with every row scaled, and needs no tensor of its own.

Shape suffixes: R rows of the pass (B, or 2 B with the negative half below), I inputs and O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainfit.algorithms.forward_forward.options import Goodness, Loss

EPSILON = 1e-8
"""Added to the length of a layer's output, to avoid division by zero."""


@dataclass(frozen=True)
class Objective:
    """The loss of one layer.

    Attributes:
        goodness: Sum or mean of squares.
        loss: Logistic with a threshold, or SymBa's difference of the two passes.
        threshold: Theta in units of the goodness; None is a mean square of 1.
        scale: SymBa's alpha.
    """

    goodness: Goodness
    loss: Loss
    threshold: float | None
    scale: float

    def share(self, width: int) -> float:
        """Contribution of one squared unit to the goodness."""
        return 1.0 / width if self.goodness is Goodness.MEAN else 1.0

    def theta(self, width: int) -> float:
        """The threshold of a layer."""
        return self.share(width) * width if self.threshold is None else self.threshold

    def factors_(
        self, squares_R: torch.Tensor, width: int, batch: int, positive: bool | None
    ) -> torch.Tensor:
        """``dL/dz = factor z`` for the mean over the batch, in place of the sums of squares.

        Args:
            squares_R: Sum of squares per row, overwritten.
            width: Units of the layer.
            batch: Samples, the divisor of the mean.
            positive: Which pass it is; None for both, the positive rows first.
        """
        share = self.share(width)
        if self.loss is Loss.SYMBA:
            top_B, bottom_B = squares_R[:batch], squares_R[batch:]
            top_B.sub_(bottom_B).mul_(-self.scale * share).sigmoid_()
            torch.mul(top_B, self.scale * share * 2.0 / batch, out=bottom_B)
            torch.neg(bottom_B, out=top_B)
            return squares_R
        halves = (
            [(squares_R[:batch], True), (squares_R[batch:], False)]
            if positive is None
            else [(squares_R, positive)]
        )
        for half_B, is_positive in halves:
            sign = -1.0 if is_positive else 1.0
            half_B.mul_(sign * share).sub_(sign * self.theta(width))
            half_B.sigmoid_().mul_(sign * share * 2.0 / batch)
        return squares_R


def inverse_length_(length_R: torch.Tensor, width: int) -> torch.Tensor:
    """The factor that gives rows of this length a mean square of 1, in place."""
    return length_R.add_(EPSILON).reciprocal_().mul_(width**0.5)


def normalise_(z_RO: torch.Tensor, length_R: torch.Tensor) -> torch.Tensor:
    """Scale rows to a mean square of 1, in place, so that the next layer cannot see their length.

    ``length_R`` is overwritten.
    """
    return z_RO.mul_(inverse_length_(length_R, z_RO.shape[1])[:, None])


def input_scale(x_RI: torch.Tensor) -> torch.Tensor:
    """Row factors that give the input a mean square of 1."""
    return inverse_length_(torch.linalg.vector_norm(x_RI, dim=1), x_RI.shape[1])
