"""The workspace of products by looking sums up, and their closed form.

See :mod:`trainfit.algorithms.numerics.binary.lookup_kernels`. Some groups of four addends are in
the workspace at a time: for each sixteen sums of sixteen floats, and four bits of every column,
which choose one of them. The results do not depend on how many groups there are.

Shape suffixes: G groups of four addends, T rows of tables, L sixteen floats, N blocks of sixteen
columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.phases import Category, tag

LANES = 16
"""Rows of floats that are side by side."""

ENTRIES = 16
"""Sums of a group of four addends."""

MOST = 64
"""Groups at a time: their tables stay in a second-level cache."""

_TABLE = 4 * ENTRIES * LANES  # bytes


@dataclass
class Workspace:
    """Memory of a product.

    Attributes:
        tables: Sums of every group, and a block beside them, (T, L), float32.
        index: The sum that each of sixteen columns takes from a group, times 8, uint8, (N, 16 G).
    """

    tables: torch.Tensor
    index: torch.Tensor


def choose_groups(budget_bytes: int, addends: int, columns: int) -> int:
    """How many groups of four addends to have at a time within a budget; 0 if none fits."""
    groups = -(-addends // 4)
    fitting = min(MOST, groups, (budget_bytes - _TABLE) // (_TABLE + _padded(columns)))
    if fitting < 1:
        return 0
    passes = -(-groups // fitting)
    return -(-groups // passes)


def work_bytes(groups: int, columns: int) -> int:
    """Size of a workspace."""
    return (groups + 1) * _TABLE + groups * _padded(columns) if groups else 0


def make_workspace(groups: int, columns: int) -> Workspace:
    """Memory for the tables of some groups of addends, and their columns' bits."""
    tables = torch.empty((groups + 1) * ENTRIES, LANES)
    index = torch.empty(_padded(columns) // LANES, LANES * groups, dtype=torch.uint8)
    return Workspace(
        tag(tables, Category.WORKSPACE, "sums of four"),
        tag(index, Category.WORKSPACE, "bits by four"),
    )


def plan_workspace(plan: MemoryPlan, groups: int, columns: int) -> list[Item]:
    """The closed form of ``make_workspace``; the caller frees the result."""
    tables, index = ((groups + 1) * ENTRIES, LANES), (_padded(columns), groups)
    work = Category.WORKSPACE
    return [
        plan.alloc("sums of four", tables, work, essential=False),
        plan.alloc("bits by four", index, work, bits=8, essential=False),
    ]


def _padded(columns: int) -> int:
    return -(-columns // LANES) * LANES
