"""Pools: the largest value or the mean of windows, and the mean of a whole map."""

from __future__ import annotations

import torch

from trainfit.algorithms.blocks.block import Block, Pass, Tape, placeholder
from trainfit.algorithms.blocks.learning import Learner
from trainfit.algorithms.models.layers import Pool, Pooling
from trainfit.algorithms.phases import phase

aten = torch.ops.aten


class PoolBlock(Block):
    """A pool over windows.

    Args:
        layer: Its sizes.
    """

    def __init__(self, layer: Pool) -> None:
        self._takes_largest = layer.what is Pooling.MAX
        self._windows = list(layer.kernel), list(layer.stride), list(layer.padding)

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H', W'); kept is where the largest values were."""
        if not self._takes_largest:
            way.keep(x.shape)
            mean: torch.Tensor = aten.avg_pool2d(x, *self._windows)
            return mean
        largest: tuple[torch.Tensor, torch.Tensor] = aten.max_pool2d_with_indices(x, *self._windows)
        y, places = largest
        way.keep(x.shape, places)
        return y

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """To where the largest values were, or to all places of a window alike."""
        dy = tape.pop()
        places = tape.pop() if self._takes_largest else None
        shape = tape.pop()
        if not to_input:
            return
        with phase("gradient"):
            x = placeholder(shape, dy)
            if places is None:
                dx = aten.avg_pool2d_backward(dy, x, *self._windows, False, True, None)
            else:
                dx = aten.max_pool2d_with_indices_backward(
                    dy, x, *self._windows, [1, 1], False, places
                )
            tape.append(dx)


class GlobalAverageBlock(Block):
    """The mean of every channel over all positions: (N, C, H, W) to (N, C)."""

    def forward(self, x: torch.Tensor, way: Pass) -> torch.Tensor:
        """Nothing of the input is kept but its shape."""
        way.keep(x.shape)
        return x.mean((2, 3))

    def backward(self, tape: Tape, learner: Learner, *, to_input: bool) -> None:
        """To all positions alike."""
        dy, shape = tape.pop(), tape.pop()
        if not to_input:
            return
        with phase("gradient"):
            dy.mul_(1.0 / (shape[2] * shape[3]))
            tape.append(dy[:, :, None, None].expand(shape).contiguous())
