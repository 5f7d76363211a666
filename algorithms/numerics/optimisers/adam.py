"""Adam, a tile at a time or compiled.

Shape suffix: N elements.
"""

from __future__ import annotations

import numpy as np
import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.lazy_kernels import adam_kernel
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.numerics.optimisers.base import Optimiser
from trainfit.algorithms.tiling import in_tiles

_TILE_MOST = 16384  # elements; 64 KiB of float32 stays in a first- or second-level cache
_TILE_LEAST = 64
_TILES = 16  # a tile is at most this fraction of the parameter, so that it never sets the peak
_LINE = 16  # elements of a cache line, which no two threads share
_WORK = 64  # a compiled element takes as long as so many multiplications of the fastest kernels


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1): a tile at a time, or compiled without workspace.

    Both give the same bits if torch's operators use fused multiply-adds (AVX2 or later).
    """

    def __init__(
        self,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        weight_decay: float = 0.0,
        compiled: bool = False,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.compiled = compiled
        self.betas = betas
        self.epsilon = 1e-8
        self.steps = 0

    def add(self, name: str, parameter: torch.Tensor) -> None:
        """Allocate both moments."""
        self._states[name] = {
            "mean": parameter.new_zeros(parameter.shape),
            "square": parameter.new_zeros(parameter.shape),
        }

    def begin_step(self) -> None:
        """Count the step, for the bias correction."""
        self.steps += 1

    def apply(self, name: str, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """One update with one tile as workspace.

        ``p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)`` is computed with ``sqrt(c2)`` taken out
        of the denominator: ``p -= lr sqrt(c2) / c1 * m / (sqrt(v) + eps sqrt(c2))``.
        """
        if not parameter.is_contiguous():  # some inputs of a weight
            for row in in_tiles(len(parameter), 1):
                self.apply_rows(name, parameter, gradient[row], row)
            return
        state = self._states[name]
        self.apply_tiled(
            parameter.view(-1), gradient.view(-1), state["mean"].view(-1), state["square"].view(-1)
        )

    def apply_rows(
        self, name: str, parameter: torch.Tensor, gradient: torch.Tensor, rows: slice
    ) -> None:
        """The update of some rows of a matrix; ``gradient`` holds those rows only."""
        state = self._states[name]
        self.apply_tiled(
            parameter[rows].view(-1),
            gradient.view(-1),
            state["mean"][rows].view(-1),
            state["square"][rows].view(-1),
        )

    def apply_tiled(
        self,
        parameter: torch.Tensor,
        gradient: torch.Tensor,
        mean: torch.Tensor,
        square: torch.Tensor,
    ) -> None:
        """The update on flat tensors; the moments may be part of a larger state."""
        first, second = self.betas
        root = (1.0 - second**self.steps) ** 0.5
        rate = self.lr * root / (1.0 - first**self.steps)
        if self.compiled:
            numbers = 1.0 - first, 1.0 - second, self.epsilon * root, -rate, self.weight_decay
            adam_step(parameter, gradient, mean, square, *numbers)  # names would take 4 us more
            return
        size = adam_tile(parameter.numel())
        scratch = parameter.new_empty(size)
        for part in in_tiles(parameter.numel(), size):
            g, m, v = gradient[part], mean[part], square[part]
            tile = scratch[: part.stop - part.start]
            if self.weight_decay:
                g.add_(parameter[part], alpha=self.weight_decay)
            m.lerp_(g, 1.0 - first)
            torch.mul(g, g, out=tile)
            v.lerp_(tile, 1.0 - second)
            torch.rsqrt(v, out=tile)  # rounded like the processor's root, unlike torch.sqrt
            tile.reciprocal_()
            tile.add_(self.epsilon * root)
            parameter[part].addcdiv_(m, tile, value=-rate)


@operator(
    "adam_step(Tensor(a!) parameter_N, Tensor gradient_N, Tensor(b!) mean_N, Tensor(c!) square_N,"
    " float first, float second, float epsilon, float rate, float decay=0.0) -> ()"
)
def adam_step(  # noqa: PLR0917
    parameter_N: torch.Tensor,
    gradient_N: torch.Tensor,
    mean_N: torch.Tensor,
    square_N: torch.Tensor,
    first: float,
    second: float,
    epsilon: float,
    rate: float,
    decay: float = 0.0,
) -> None:
    """``m += first (g - m)``, ``v += second (g^2 - v)``, ``p += rate m / (sqrt(v) + epsilon)``.

    With ``decay``, g is ``gradient_N + decay p``; ``gradient_N`` itself does not change.

    Args:
        parameter_N: float32, flat, contiguous, like the others.
        gradient_N: Its gradient.
        mean_N: Moving average m.
        square_N: Moving average v.
        first: One minus beta 1.
        second: One minus beta 2.
        epsilon: Added to the denominator.
        rate: Negative learning rate, corrected for the bias of the averages.
        decay: Weight decay.
    """
    elements = parameter_N.numel()
    parts = threads.parts_of(elements, _LINE, _WORK * elements)
    operands = parameter_N, gradient_N, mean_N, square_N
    numbers = np.array([first, second, epsilon, rate, decay], dtype=np.float32)
    threads.call(adam_kernel.descend, parts, operands, [()] * len(parts), (numbers,))


def adam_tile(elements: int) -> int:
    """Elements of the workspace for updating ``elements`` parameters."""
    return min(elements, max(_TILE_LEAST, min(_TILE_MOST, -(-elements // _TILES))))
