"""Quantisers of the gradient of a layer's output, for backpropagation in INT8.

A layer that multiplies has one of its own, which may keep ranges from step to step, may give the
weight gradient and the layer below different integers, and may reduce the layer's learning rate.
The plain one takes the largest magnitude of the tensor as its range. Others are in
:mod:`trainfit.algorithms.int8.ui8_clipping` (UI8) and
:mod:`trainfit.algorithms.int8.dai8_clipping` (DAI8). The gradient is that of a fully connected
layer's pre-activations, or of the maps that a convolution gives.

Shape suffixes: B batch, O outputs of a layer: features, or channels with H W places each; R rows,
C columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.int8.quantise import quantise
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.options import Int8Kernel, Rounding


class QuantisedGradient(NamedTuple):
    """A gradient of a layer's output in INT8.

    Attributes:
        for_weights: Used for the weight gradient; one scale, or one per output.
        for_inputs: Propagated to the layer below; one scale.
        rate: Factor on the layer's learning rate.
    """

    for_weights: Quantised
    for_inputs: Quantised
    rate: float = 1.0


class GradientQuantiser(ABC):
    """Turns the gradients of one layer into INT8, one in every step.

    Args:
        rounding: Rounding of gradients.
        kernel: Implementation of the rounding.
    """

    def __init__(self, rounding: Rounding, kernel: Int8Kernel) -> None:
        self.rounding = rounding
        self.kernel = kernel

    @abstractmethod
    def quantise(self, g: torch.Tensor, seed: int, *, to_input: bool) -> QuantisedGradient:
        """Round the gradient of this step.

        Args:
            g: float32, contiguous, shape (B, O) or (B, O, H, W).
            seed: Seed for this layer in this step.
            to_input: Whether a layer below needs it.
        """

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor) of the buffers kept between steps."""
        yield from ()

    # ---- one range per tensor ---------------------------------------------------------------

    def _by_magnitude(self, g: torch.Tensor, seed: int) -> Quantised:
        q, scale = quantise(
            g.view(len(g), -1), rounding=self.rounding, seed=seed, kernel=self.kernel
        )
        return Quantised(q.view(g.shape), scale)


NewQuantiser = Callable[[int], GradientQuantiser]
"""Makes the quantiser of a layer from its number of outputs."""


class MaxAbs(GradientQuantiser):
    """``c = max abs(g)`` of the tensor, so that nothing is clipped."""

    def quantise(self, g: torch.Tensor, seed: int, *, to_input: bool) -> QuantisedGradient:
        """One tensor for both purposes."""
        d = self._by_magnitude(g, seed)
        return QuantisedGradient(d, d)


def max_abs(rounding: Rounding, kernel: Int8Kernel) -> NewQuantiser:
    """The plain quantiser for every layer."""
    return lambda outputs: MaxAbs(rounding, kernel)


def as_rows(t: torch.Tensor) -> torch.Tensor:
    """A matrix (R, C) of the same elements in the same order: of maps, a row per map."""
    return t if t.dim() == 2 else t.view(t.shape[0] * t.shape[1], -1)
