"""Gradients with a range per channel that depends on its distribution: DAI8's two techniques.

Zhao et al., Distribution Adaptive INT8 Quantization for Training CNNs, AAAI 2021 (arXiv
2102.04782). A channel, here an output channel of a convolution over batch and places, or an output
unit of a fully connected layer over the batch, with gradient g:

* gradient vectorised quantisation: every channel has its own range s. That gradient is used for
  the weights; the one that is propagated down is summed over channels, and has one range for all.
* magnitude-aware clipping: a channel counts as Gaussian if ``P(abs(g) > sigma) > lambda``, and then
  ``s_t = max abs(g)``; otherwise its distribution is an inverted T, a spike with long tails, and
  ``s_t = (1 - k A) s_{t-1} + A max abs(g)``. This follows from weighting errors by
  ``exp(alpha abs(g))``; alpha is contained in k and A.

Decisions, since only the paper's abstract, a figure's caption and readers' notes were available:
sigma is the root of the mean square over the channel (symmetric distributions have mean 0); in the
first step ``s_{t-1}`` is the largest magnitude; the single range is the largest magnitude, too.

Shape suffixes: B batch, O outputs of a layer, H and W places of a map, R rows (B O maps, or samples
of a fully connected layer), C columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.int8.options import BackpropDai8Options
from trainfit.algorithms.numerics.int8.gradients import (
    GradientQuantiser,
    NewQuantiser,
    QuantisedGradient,
    as_rows,
)
from trainfit.algorithms.numerics.int8.quantise import (
    nth_seed,
    quantise_into,
    scale_of,
)
from trainfit.algorithms.numerics.int8.scaled import Quantised, tile_height
from trainfit.algorithms.numerics.sums import channel_squares, column_lengths
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles


class DistributionAdaptive(GradientQuantiser):
    """One range per output for the weights, one per tensor for the layer below.

    Args:
        outputs: Output channels or units.
        rounding: Rounding of gradients.
        kernel: Implementation of the rounding.
        share: lambda.
        k: See the module.
        step: A.
    """

    def __init__(
        self,
        outputs: int,
        rounding: Rounding,
        kernel: Int8Kernel,
        *,
        share: float,
        k: float,
        step: float,
    ) -> None:
        super().__init__(rounding, kernel)
        self.share = share
        self.k = k
        self.step = step
        self.is_first = True
        self.scale_O = torch.zeros(outputs)  # s / 127

    def quantise(self, g: torch.Tensor, seed: int, *, to_input: bool) -> QuantisedGradient:
        """Two tensors; one in the lowest layer, which propagates nothing down."""
        self._follow(g)
        d = Quantised(torch.empty(g.shape, dtype=torch.int8), self.scale_O)
        self._round(g, d, seed)
        return QuantisedGradient(d, self._by_magnitude(g, nth_seed(seed, 0)) if to_input else d)

    def _follow(self, g: torch.Tensor) -> None:
        """``s_t / 127`` of every output in place of ``s_{t-1} / 127``."""
        gaussian_O = tag(is_gaussian(g, self.share), Category.WORKSPACE, "kind of channel")
        largest_O = tag(_largest(g), Category.WORKSPACE, "largest")
        if self.is_first:
            self.scale_O.copy_(largest_O)
            self.is_first = False
        self.scale_O.mul_(1.0 - self.k * self.step).add_(largest_O, alpha=self.step)
        torch.where(gaussian_O, largest_O, self.scale_O, out=self.scale_O)

    def _round(self, g: torch.Tensor, d: Quantised, seed: int) -> None:
        """A scale per column, or per row, of which each is a channel's map of one sample."""
        g_RC, scale, axis = as_rows(g), d.scale, 1
        if g.dim() > 2:
            scale = tag(scale.repeat(len(g)), Category.WORKSPACE, "scale of every map")
            axis = 0
        quantise_into(
            g_RC,
            d.q.view(g_RC.shape),
            scale,
            rounding=self.rounding,
            seed=seed,
            axis=axis,
            kernel=self.kernel,
        )

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The range of every output."""
        yield "clip", self.scale_O


def distribution_adaptive(options: BackpropDai8Options) -> NewQuantiser:
    """The quantisers that options ask for.

    Raises:
        ConfigurationError: A range would count negatively.
    """
    if options.k * options.a > 1:
        raise ConfigurationError(
            f"backprop_dai8: k={options.k} and a={options.a} make the range of the step before"
            " count negatively; k times a must be at most 1"
        )
    return lambda outputs: DistributionAdaptive(
        outputs,
        options.rounding,
        options.kernel,
        share=options.share,
        k=options.k,
        step=options.a,
    )


def _largest(g: torch.Tensor) -> torch.Tensor:
    """``max abs(g) / 127`` of every channel, shape (O,)."""
    if g.dim() == 2:
        return scale_of(g, axis=1)
    return scale_of(as_rows(g), axis=0).view(g.shape[:2]).amax(0)


def is_gaussian(g: torch.Tensor, share: float) -> torch.Tensor:
    """Whether ``P(abs(g) > sigma) > share``, for every channel; bool, shape (O,).

    Args:
        g: float32, contiguous, shape (B, O) or (B, O, H, W).
        share: lambda.
    """
    if g.dim() == 2:
        return _of_columns(g, share)
    return _of_maps(g, share)


def _of_columns(g_BO: torch.Tensor, share: float) -> torch.Tensor:
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


def _of_maps(g_BOHW: torch.Tensor, share: float) -> torch.Tensor:
    count = g_BOHW.numel() // g_BOHW.shape[1]
    sigma_O = channel_squares(g_BOHW).sqrt_().mul_(count**-0.5)
    sigma_R = tag(sigma_O.repeat(len(g_BOHW)), Category.WORKSPACE, "sigma of every map")
    beyond_R = tag(torch.empty_like(sigma_R), Category.WORKSPACE, "how many are beyond sigma")
    g_RC = as_rows(g_BOHW)
    for rows in in_tiles(len(g_RC), tile_height(*g_RC.shape)):
        tile = tag(g_RC[rows].abs(), Category.WORKSPACE, "tile")
        torch.gt(tile, sigma_R[rows, None], out=tile)
        torch.sum(tile, 1, out=beyond_R[rows])
        del tile  # otherwise two tiles would be alive in the next iteration
    return beyond_R.view(g_BOHW.shape[:2]).sum(0) > share * count
