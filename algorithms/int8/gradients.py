"""Quantisers of the gradient of a layer's pre-activations, for backpropagation in INT8.

A quantiser may keep ranges from step to step, may give the weight gradient and the layer below
different integers, and may reduce the learning rate. The plain one takes the largest magnitude of
the tensor as its range. Others are in :mod:`trainfit.algorithms.int8.ui8_clipping` (UI8) and
:mod:`trainfit.algorithms.int8.dai8_clipping` (DAI8).

Shape suffixes: B batch, O outputs of a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8.quantise import quantise
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.options import Int8Kernel, Rounding


class QuantisedGradient(NamedTuple):
    """A gradient of pre-activations in INT8.

    Attributes:
        for_weights: Used for the weight gradient; one scale, or one per output.
        for_inputs: Propagated to the layer below; one scale.
        rate: Factor on the layer's learning rate.
    """

    for_weights: Quantised
    for_inputs: Quantised
    rate: float = 1.0


class GradientQuantiser(ABC):
    """Turns the gradients of one net into INT8.

    Attributes:
        channels: Whether the weight gradient has one scale per output.
    """

    channels = False

    def __init__(self, model: Mlp, rounding: Rounding, kernel: Int8Kernel) -> None:
        self.model = model
        self.rounding = rounding
        self.kernel = kernel
        self.steps = 0

    def begin_step(self) -> None:
        """Count a step, from 1; called before its first gradient."""
        self.steps += 1

    @abstractmethod
    def quantise(self, number: int, dz_BO: torch.Tensor, seed: int) -> QuantisedGradient:
        """Round the gradient of layer ``number`` (from 1).

        Args:
            number: The layer.
            dz_BO: float32, contiguous, shape (B, O).
            seed: Seed for this layer in this step.
        """

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor) of the buffers kept between steps."""
        yield from ()

    # ---- one range per tensor ---------------------------------------------------------------

    def _by_magnitude(self, dz_BO: torch.Tensor, seed: int) -> Quantised:
        return Quantised(*quantise(dz_BO, rounding=self.rounding, seed=seed, kernel=self.kernel))


class MaxAbs(GradientQuantiser):
    """``c = max abs(g)`` of the tensor, so that nothing is clipped."""

    def quantise(self, number: int, dz_BO: torch.Tensor, seed: int) -> QuantisedGradient:
        """One tensor for both purposes."""
        d = self._by_magnitude(dz_BO, seed)
        return QuantisedGradient(d, d)
