"""Gradients with a range per channel that depends on its distribution: DAI8's two techniques.

Zhao et al., Distribution Adaptive INT8 Quantization for Training CNNs, AAAI 2021 (arXiv
2102.04782). A channel, here an output unit of a fully connected layer, with gradient g:

* gradient vectorised quantisation: every channel has its own range s. That gradient is used for
  the weights; the one that is propagated down is summed over channels, and has one range for all.
* magnitude-aware clipping: a channel counts as Gaussian if ``P(abs(g) > sigma) > lambda``, and then
  ``s_t = max abs(g)``; otherwise its distribution is an inverted T, a spike with long tails, and
  ``s_t = (1 - k A) s_{t-1} + A max abs(g)``. This follows from weighting errors by
  ``exp(alpha abs(g))``; alpha is contained in k and A.

Decisions, since only the paper's abstract, a figure's caption and readers' notes were available:
sigma is the root of the mean square over the batch (symmetric distributions have mean 0); in the
first step ``s_{t-1}`` is the largest magnitude; the single range is the largest magnitude, too.

Shape suffixes: B batch, O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.int8.gradients import GradientQuantiser, QuantisedGradient
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8.quantise import (
    nth_seed,
    quantise_into,
    scale_of,
)
from trainfit.algorithms.numerics.int8.scaled import Quantised, tile_height
from trainfit.algorithms.numerics.sums import column_lengths
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles


class DistributionAdaptive(GradientQuantiser):
    """One range per output unit for the weights, one per tensor for the layer below.

    Args:
        model: The net.
        rounding: Rounding of gradients.
        kernel: Implementation of the rounding.
        share: lambda.
        k: See the module.
        step: A.
    """

    channels = True

    def __init__(
        self,
        model: Mlp,
        rounding: Rounding,
        kernel: Int8Kernel,
        *,
        share: float,
        k: float,
        step: float,
    ) -> None:
        super().__init__(model, rounding, kernel)
        self.share = share
        self.k = k
        self.step = step
        self.scales_O = [torch.zeros(outputs) for outputs in model.sizes[1:]]  # s / 127

    def quantise(self, number: int, dz_BO: torch.Tensor, seed: int) -> QuantisedGradient:
        """Two tensors; one in the lowest layer, which propagates nothing down."""
        scale_O = self._next_scales(number, dz_BO)
        q_BO = torch.empty(dz_BO.shape, dtype=torch.int8)
        quantise_into(
            dz_BO, q_BO, scale_O, rounding=self.rounding, seed=seed, axis=1, kernel=self.kernel
        )
        d = Quantised(q_BO, scale_O)
        return QuantisedGradient(
            d, self._by_magnitude(dz_BO, nth_seed(seed, 0)) if number > 1 else d
        )

    def _next_scales(self, number: int, dz_BO: torch.Tensor) -> torch.Tensor:
        """``s_t / 127`` of every output, which replaces ``s_{t-1} / 127``."""
        scale_O = self.scales_O[number - 1]
        gaussian_O = tag(is_gaussian(dz_BO, self.share), Category.WORKSPACE, "kind of channel")
        largest_O = tag(scale_of(dz_BO, axis=1), Category.WORKSPACE, "largest")
        if self.steps == 1:
            scale_O.copy_(largest_O)
        scale_O.mul_(1.0 - self.k * self.step).add_(largest_O, alpha=self.step)
        return torch.where(gaussian_O, largest_O, scale_O, out=scale_O)

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The range of every output."""
        for number, scale_O in enumerate(self.scales_O, start=1):
            yield f"clip{number}", scale_O


def is_gaussian(g_BO: torch.Tensor, share: float) -> torch.Tensor:
    """Whether ``P(abs(g) > sigma) > share``, for every column; bool, shape (O,).

    Args:
        g_BO: float32, contiguous.
        share: lambda.
    """
    batch, outputs = g_BO.shape
    sigma_O = tag(column_lengths(g_BO), Category.WORKSPACE, "sigma")
    sigma_O.mul_(batch**-0.5)
    beyond_O = tag(torch.zeros(outputs), Category.WORKSPACE, "how many are beyond sigma")
    for rows in in_tiles(batch, tile_height(batch, outputs)):
        tile = tag(g_BO[rows].abs(), Category.WORKSPACE, "tile")
        torch.gt(tile, sigma_O, out=tile)
        beyond_O.add_(tag(tile.sum(0), Category.WORKSPACE, "sum of a tile"))
        del tile  # otherwise two tiles would be alive in the next iteration
    return beyond_O > share * batch
