"""How the blocks of a net round to INT8: what to the nearest, what at random, by which numbers."""

from __future__ import annotations

import torch

from trainfit.algorithms.blocks.block import Pass, Statistics
from trainfit.algorithms.numerics.int8.gradients import NewQuantiser, max_abs
from trainfit.algorithms.numerics.int8.quantise import nth_seed, quantise
from trainfit.algorithms.numerics.int8.scaled import Quantised
from trainfit.algorithms.options import Int8Kernel, Rounding


class Arithmetic:
    """Rounding and kernel, the same in all blocks of a net.

    Every tensor that is rounded in a step has its own seed, counted from the start of the step.

    Args:
        kernel: Implementation; no influence on the result.
        activations: Rounding of activations in training; in prediction it is to the nearest.
        gradients: Rounding of gradients.
        weights: Rounding of weights that exist in INT8 only.
        quantiser: Makes what rounds the gradients of a layer; by default with their largest
            magnitude as range.

    Attributes:
        quantiser: The same.
    """

    def __init__(
        self,
        kernel: Int8Kernel,
        *,
        activations: Rounding,
        gradients: Rounding,
        weights: Rounding,
        quantiser: NewQuantiser | None = None,
    ) -> None:
        self.kernel = kernel
        self.quantiser = quantiser or max_abs(gradients, kernel)
        self.weights = weights
        self._activations, self._gradients = activations, gradients
        self._seed = self._rounded = 0

    @property
    def draws(self) -> bool:
        """Whether a step takes random numbers."""
        return Rounding.STOCHASTIC in {self._activations, self._gradients, self.weights}

    def begin_step(self, seed: int) -> None:
        """Take the random numbers of a step from ``seed``."""
        self._seed, self._rounded = seed, 0

    def next_seed(self) -> int:
        """The seed of the next tensor that is rounded."""
        self._rounded += 1
        return nth_seed(self._seed, self._rounded)

    def activations(self, t: torch.Tensor, way: Pass) -> Quantised:
        """Round activations with one scale, that of their largest magnitude."""
        predicts = way.statistics is Statistics.RUNNING
        rounding = Rounding.NEAREST if predicts else self._activations
        t_RC, seed = t.view(len(t), -1), self.next_seed()
        q_RC, scale = quantise(t_RC, rounding=rounding, seed=seed, kernel=self.kernel)
        return Quantised(q_RC.view(t.shape), scale)
