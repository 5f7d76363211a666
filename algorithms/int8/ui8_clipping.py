"""Gradients clipped so that they keep their direction: the two techniques of UI8.

Zhu et al., Towards Unified INT8 Training for Convolutional Neural Network, CVPR 2020 (arXiv
1912.12607). With ``g^`` the gradient g rounded to INT8 with clipping value c:

* direction-sensitive gradient clipping: c minimises ``d_c = 1 - g . g^ / (|g| |g^|)``;
* deviation-counteractive learning rate scaling: the rate is multiplied by
  ``max(exp(-alpha d_c), beta)``.

Decisions, since only the paper's abstract and readers' notes were available: c is searched for
among equal parts of ``max abs(g)``, with the rounding that is used; both techniques act layer by
layer, and the scaled rate is that of weights and bias. A search can be spread over steps, evenly,
so that every step allocates the same.

Shape suffixes: B batch, O outputs of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from trainfit.algorithms.int8.gradients import GradientQuantiser, QuantisedGradient
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.int8.quantise import (
    quantise_into,
    scale_of,
)
from trainfit.algorithms.numerics.int8.scaled import Quantised, tile_height
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles


class DirectionSensitive(GradientQuantiser):
    """One range per tensor, the one that best keeps the gradient's direction.

    Candidates are ``max abs(g)`` times 1/n, 2/n, ..., 1. Each is tried every ``period`` steps, the
    same number of them in every step, and its latest deviation counts. The deviation that sets the
    rate is that of the gradient as rounded.

    Args:
        model: The net.
        rounding: Rounding of gradients.
        kernel: Implementation of the rounding.
        alpha: How fast the learning rate falls with the deviation.
        beta: The smallest factor on the rate.
        candidates: n.
        period: Steps over which the candidates are spread; divides n.
    """

    def __init__(
        self,
        model: Mlp,
        rounding: Rounding,
        kernel: Int8Kernel,
        *,
        alpha: float,
        beta: float,
        candidates: int,
        period: int,
    ) -> None:
        super().__init__(model, rounding, kernel)
        self.alpha = alpha
        self.beta = beta
        self.candidates = candidates
        self.period = period
        self.found = torch.full((len(model.layers), candidates), math.inf)  # d_c

    def quantise(self, number: int, dz_BO: torch.Tensor, seed: int) -> QuantisedGradient:
        """Try some candidates, then round with the best of all."""
        d = Quantised(torch.empty(dz_BO.shape, dtype=torch.int8), torch.empty(1))
        step = float(scale_of(dz_BO)) / self.candidates

        def deviation(nth: int) -> float:
            """d_c of the ``nth`` candidate, from 0, which is what ``d`` holds afterwards."""
            d.scale.fill_(step * (nth + 1))
            quantise_into(dz_BO, *d, rounding=self.rounding, seed=seed, kernel=self.kernel)
            return direction_deviation(dz_BO, d.q)

        found = self.found[number - 1]
        first = (self.steps - 1) % self.period
        for turn in in_tiles(self.candidates // self.period, 1):
            nth = first + turn.start * self.period
            found[nth : nth + 1].fill_(deviation(nth))
        _, best = min((float(value), -nth) for nth, value in enumerate(found))
        rate = max(math.exp(-self.alpha * deviation(-best)), self.beta)  # the widest of equal ones
        return QuantisedGradient(d, d, rate)

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The deviation of every layer's candidates."""
        yield "deviations", self.found


def direction_deviation(g_BO: torch.Tensor, q_BO: torch.Tensor) -> float:
    """``d_c = 1 - cos(g, q)``, a tile of rows at a time; 0 if g or q is all zeros.

    Args:
        g_BO: float32, contiguous.
        q_BO: int8, g rounded; the direction does not depend on the scale.
    """
    both = own = other = 0.0
    for rows in in_tiles(len(g_BO), tile_height(*g_BO.shape)):
        g = g_BO[rows].view(-1)
        q = tag(q_BO[rows].to(torch.float32), Category.WORKSPACE, "tile")
        q = q.view(-1)
        both += float(torch.dot(g, q))
        own += float(torch.dot(g, g))
        other += float(torch.dot(q, q))
        del q  # otherwise two tiles would be alive in the next iteration
    size = math.sqrt(own * other)
    return max(0.0, 1.0 - both / size) if size else 0.0
