"""INT8 tensors with a scale, and sums of their products as float32.

Shape suffixes: R rows, C columns.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.optimisers import adam_tile
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

_LEAST_TILE = 1024  # elements; with fewer, starting operators would take most of the time


class Quantised(NamedTuple):
    """A tensor ``scale q``: int8; float32, one scale, or for a matrix one per row or column."""

    q: torch.Tensor
    scale: torch.Tensor

    def scale_of(self, part: slice) -> torch.Tensor:
        """That of some rows or columns: the one of all, or one for each."""
        return self.scale if len(self.scale) == 1 else self.scale[part]


def rescale_(sums_RC: torch.Tensor, scale: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``scale other sums``, float32, in the memory of the INT32 sums.

    Args:
        sums_RC: int32, overwritten.
        scale: One scale, or one per row.
        other: Another scale.
    """
    values_RC = sums_RC.view(torch.float32)
    values_RC.copy_(sums_RC)  # element by element onto itself, of the same width
    return values_RC.mul_(tag(scale * other, Category.WORKSPACE, "product of scales").view(-1, 1))


def tile_height(rows: int, columns: int) -> int:
    """Rows of a float32 tile of an INT8 matrix: a sixteenth of it, within 4 and 64 KiB."""
    elements = max(_LEAST_TILE, adam_tile(rows * columns))
    return min(rows, max(1, elements // columns))


def add_dequantised_(t_RC: torch.Tensor, matrix: Quantised, height: int) -> torch.Tensor:
    """``t += s q``, at most ``height`` rows at a time."""
    scale = float(matrix.scale)
    for rows in in_tiles(len(t_RC), height):
        tile = tag(matrix.q[rows].to(torch.float32), Category.WORKSPACE, "tile of integers")
        t_RC[rows].add_(tile.mul_(scale))  # alpha= would round once or twice, as the processor can
        del tile  # otherwise two of them would be alive in the next iteration
    return t_RC
