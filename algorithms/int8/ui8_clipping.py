"""Gradients clipped so that they keep their direction: the two techniques of UI8.

Zhu et al., Towards Unified INT8 Training for Convolutional Neural Network, CVPR 2020 (arXiv
1912.12607). With ``g^`` the gradient g rounded to INT8 with clipping value c:

* direction-sensitive gradient clipping: c minimises ``d_c = 1 - g . g^ / (|g| |g^|)``;
* deviation-counteractive learning rate scaling: the rate is multiplied by
  ``max(exp(-alpha d_c), beta)``.

Decisions, since only the paper's abstract and readers' notes were available: c is searched for
among equal parts of ``max abs(g)``, with the rounding that is used; both techniques act layer by
layer, a fully connected layer or a convolution, and the scaled rate is that of weights and bias.
Of a convolution, g is the gradient of all its maps, with one c. A search can be spread over steps,
evenly, so that every step allocates the same.

Shape suffixes: R rows of a gradient, C its columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.int8.options import BackpropUi8Options
from trainfit.algorithms.numerics.int8.gradients import (
    GradientQuantiser,
    NewQuantiser,
    QuantisedGradient,
    as_rows,
)
from trainfit.algorithms.numerics.int8.quantise import quantise_into, scale_of
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
        rounding: Rounding of gradients.
        kernel: Implementation of the rounding.
        alpha: How fast the learning rate falls with the deviation.
        beta: The smallest factor on the rate.
        candidates: n.
        period: Steps over which the candidates are spread; divides n.
    """

    def __init__(
        self,
        rounding: Rounding,
        kernel: Int8Kernel,
        *,
        alpha: float,
        beta: float,
        candidates: int,
        period: int,
    ) -> None:
        super().__init__(rounding, kernel)
        self.alpha = alpha
        self.beta = beta
        self.candidates = candidates
        self.period = period
        self.steps = 0
        self.found = torch.full((candidates,), math.inf)  # d_c

    def quantise(self, g: torch.Tensor, seed: int, *, to_input: bool) -> QuantisedGradient:
        """Try some candidates, then round with the best of all."""
        g_RC = as_rows(g)
        d = Quantised(torch.empty(g.shape, dtype=torch.int8), torch.empty(1))
        q_RC = d.q.view(g_RC.shape)
        step = float(scale_of(g_RC)) / self.candidates

        def deviation(nth: int) -> float:
            """d_c of the ``nth`` candidate, from 0, which is what ``d`` holds afterwards."""
            d.scale.fill_(step * (nth + 1))
            quantise_into(
                g_RC, q_RC, d.scale, rounding=self.rounding, seed=seed, kernel=self.kernel
            )
            return direction_deviation(g_RC, q_RC)

        first = self.steps % self.period
        self.steps += 1
        for turn in in_tiles(self.candidates // self.period, 1):
            nth = first + turn.start * self.period
            self.found[nth : nth + 1].fill_(deviation(nth))
        _, best = min((float(value), -nth) for nth, value in enumerate(self.found))
        rate = max(math.exp(-self.alpha * deviation(-best)), self.beta)  # the widest of equal ones
        return QuantisedGradient(d, d, rate)

    def buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The deviation of every candidate."""
        yield "deviations", self.found


def direction_sensitive(options: BackpropUi8Options) -> NewQuantiser:
    """The quantisers that options ask for.

    Raises:
        ConfigurationError: The candidates cannot be spread evenly.
    """
    if options.candidates % options.period:
        raise ConfigurationError(
            f"backprop_ui8: period={options.period} does not divide"
            f" candidates={options.candidates}, which are spread evenly over that many steps;"
            " choose a divisor"
        )
    return lambda outputs: DirectionSensitive(
        options.rounding,
        options.kernel,
        alpha=options.alpha,
        beta=options.beta,
        candidates=options.candidates,
        period=options.period,
    )


def direction_deviation(g_RC: torch.Tensor, q_RC: torch.Tensor) -> float:
    """``d_c = 1 - cos(g, q)``, a tile of rows at a time; 0 if g or q is all zeros.

    Args:
        g_RC: float32, contiguous.
        q_RC: int8, g rounded; the direction does not depend on the scale.
    """
    both = own = other = 0.0
    for rows in in_tiles(len(g_RC), tile_height(*g_RC.shape)):
        g = g_RC[rows].view(-1)
        q = tag(q_RC[rows].to(torch.float32), Category.WORKSPACE, "tile")
        q = q.view(-1)
        both += float(torch.dot(g, q))
        own += float(torch.dot(g, g))
        other += float(torch.dot(q, q))
        del q  # otherwise two tiles would be alive in the next iteration
    size = math.sqrt(own * other)
    return max(0.0, 1.0 - both / size) if size else 0.0
