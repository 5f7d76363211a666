"""Tiles of rows in plain torch: INT32 to float32, and rounding to INT8 with a scale per row.

A tile is converted between INT32 and float32 in place.

Shape suffixes: R rows, T rows of a tile, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.int8.torch_kernels import (
    add_uniform_,
    tile_rows,
)
from trainfit.algorithms.phases import Category, tag
from trainfit.algorithms.tiling import in_tiles

LEVELS = 127
SMALLEST = 2.0**-126


class Chance(NamedTuple):
    """Whether to round at random, and the keys of the random numbers."""

    stochastic: bool
    low: int
    high: int


def parts_of(t_RC: torch.Tensor) -> Iterator[slice]:
    """The rows of each tile of a matrix, in order."""
    rows, columns = t_RC.shape
    return in_tiles(rows, tile_rows(rows, columns))


def tile(of_RC: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Memory for one tile of a matrix."""
    rows, columns = of_RC.shape
    tile = torch.empty(tile_rows(rows, columns), columns, dtype=dtype)
    return tag(tile, Category.WORKSPACE, "tile")


def floats_(tile_TC: torch.Tensor) -> torch.Tensor:
    """INT32 to float32 in place."""
    floats_TC = tile_TC.view(torch.float32)
    return floats_TC.copy_(tile_TC)


def extent(t_TC: torch.Tensor) -> torch.Tensor:
    """The largest magnitude of each row."""
    most_T = tag(t_TC.amax(1), Category.WORKSPACE, "largest of a row")
    least_T = tag(t_TC.amin(1), Category.WORKSPACE, "smallest of a row")
    return torch.maximum(most_T, least_T.neg_(), out=most_T)


def round_(
    t_TC: torch.Tensor, q_TC: torch.Tensor, start: int, chance: Chance, scratch: torch.Tensor
) -> None:
    """Round ``t``, which is overwritten, into ``q``; the first element has index ``start``."""
    if chance.stochastic:
        add_uniform_(t_TC, start, chance.low, chance.high, scratch[: len(t_TC)])
        t_TC.floor_()
    else:
        t_TC.round_()
    q_TC.copy_(t_TC.clamp_(-LEVELS, LEVELS))


def round_rows_(  # noqa: PLR0917
    t_TC: torch.Tensor,
    q_TC: torch.Tensor,
    s_T: torch.Tensor,
    start: int,
    chance: Chance,
    scratch: torch.Tensor,
) -> None:
    """The same with a scale for each row, written to ``s``."""
    scale_T = extent(t_TC).div_(LEVELS)
    s_T.copy_(scale_T)
    t_TC.mul_(scale_T.clamp_(min=SMALLEST).reciprocal_()[:, None])
    del scale_T
    round_(t_TC, q_TC, start, chance, scratch)
