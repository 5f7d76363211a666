"""The figures that stand for a tensor of gradients: its distribution, and what INT8 would do to it.

Values are taken as they are handed in, in float64, so that sums over a million squares are exact
enough to be compared.
"""

from __future__ import annotations

import torch

from trainfit.bench.records.schema import Evidence, LayerGradients, QuantisationError
from trainfit.bench.records.schema.probes import HISTOGRAM_BINS

LEVELS = 127
"""INT8 is used from -127 to 127; a value below half a step of max / 127 becomes 0."""


def describe(tensor: str, stage: str, gradient: torch.Tensor) -> LayerGradients:
    """The record of one gradient.

    Args:
        tensor: Name of the weights.
        stage: In which stage they are trained.
        gradient: Finite, of any shape.
    """
    g = gradient.detach().double().flatten()
    shape = tuple(gradient.shape)
    largest = float(g.abs().max()) if len(g) else 0.0
    if not largest:
        return LayerGradients(
            tensor=tensor,
            stage=stage,
            evidence=Evidence.ANALYTIC,
            shape=shape,
            count=len(g),
            zeros=len(g),
            max_abs=0.0,
            reason="the gradient is 0 everywhere",
        )
    magnitudes = g[g != 0].abs()
    histogram, below = octaves(magnitudes / largest)
    return LayerGradients(
        tensor=tensor,
        stage=stage,
        evidence=Evidence.ANALYTIC,
        shape=shape,
        count=len(g),
        zeros=len(g) - len(magnitudes),
        max_abs=largest,
        rms=float(g.square().mean().sqrt()),
        mean_abs=float(g.abs().mean()),
        excess_kurtosis=excess_kurtosis(g[g != 0]),
        histogram=histogram,
        histogram_below=below,
        int8=int8_error(g),
    )


def octaves(ratios: torch.Tensor) -> tuple[list[int], int]:
    """How many ratios lie in each factor of two below 1, and how many below all of these.

    Args:
        ratios: In (0, 1].
    """
    mantissas, exponents = torch.frexp(ratios)  # ratio = mantissa * 2**exponent, 0.5 <= mantissa
    bins = ((mantissas == 0.5).int() - exponents).long()  # 2**-k belongs to bin k
    inside = bins < HISTOGRAM_BINS
    counts = torch.bincount(bins[inside], minlength=HISTOGRAM_BINS)
    return counts.tolist(), int((~inside).sum())


def excess_kurtosis(values: torch.Tensor) -> float | None:
    """Fourth central moment over the squared variance, minus 3; None where nothing varies."""
    centred = values - values.mean()
    variance = float(centred.square().mean())
    return float(centred.pow(4).mean()) / variance**2 - 3.0 if variance else None


def int8_error(g: torch.Tensor) -> QuantisationError:
    """Symmetric uniform quantisation with one scale, ``max / 127``, to the nearest.

    Args:
        g: float64, not all 0.
    """
    scale = float(g.abs().max()) / LEVELS
    rounded = (g / scale).round().mul(scale)
    live = g != 0
    kept = float(rounded.norm())  # at least the largest value
    return QuantisationError(
        relative_rms=float((rounded - g).norm() / g.norm()),
        cosine=float(g @ rounded) / (float(g.norm()) * kept),
        rounded_to_zero=float((rounded[live] == 0).double().mean()),
    )
