"""Tiles of rows in plain torch: INT32 to float32, and rounding to INT8 with a scale per row.

A tile is converted between INT32 and float32 in place.

Shape suffixes: R rows, T rows of a tile, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.numerics.int8.torch_kernels import (
    add_uniform_,
    plan_add_uniform,
    tile_rows,
    work,
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


@contextmanager
def plan_tiles(plan: MemoryPlan, count: int, rows: int, columns: int) -> Iterator[None]:
    """The closed form of ``count`` tiles, for the duration of a block."""
    height = tile_rows(rows, columns)
    tiles = [work(plan, "tile", height * columns) for _ in range(count)]
    yield
    plan.free(*tiles)


def floats_(tile_TC: torch.Tensor) -> torch.Tensor:
    """INT32 to float32 in place."""
    floats_TC = tile_TC.view(torch.float32)
    return floats_TC.copy_(tile_TC)


def extent(t_TC: torch.Tensor) -> torch.Tensor:
    """The largest magnitude of each row."""
    most_T = tag(t_TC.amax(1), Category.WORKSPACE, "largest of a row")
    least_T = tag(t_TC.amin(1), Category.WORKSPACE, "smallest of a row")
    return torch.maximum(most_T, least_T.neg_(), out=most_T)


def plan_extent(plan: MemoryPlan, rows: int) -> Item:
    """The closed form of ``extent``; the caller frees it."""
    most = work(plan, "largest of a row", rows)
    plan.free(work(plan, "smallest of a row", rows))
    return most


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


def plan_round(plan: MemoryPlan, elements: int, *, stochastic: bool) -> None:
    """The closed form of ``round_``."""
    if stochastic:
        plan_add_uniform(plan, elements)


def plan_round_rows(plan: MemoryPlan, rows: int, columns: int, *, stochastic: bool) -> None:
    """The closed form of ``round_rows_``."""
    scale = plan_extent(plan, rows)
    plan.scalar()
    plan.free(scale)
    plan_round(plan, rows * columns, stochastic=stochastic)
