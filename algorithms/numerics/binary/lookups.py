"""Products of floats with packed bits by looking sums up: workspace and operators.

See :mod:`trainfit.algorithms.numerics.binary.lookup_kernels`. Some groups of four addends are in
the workspace at a time: for each sixteen sums of sixteen floats, and four bits of every column,
which choose one of them. The results do not depend on how many groups there are.

Shape suffixes: B batch, I inputs, O outputs, J outputs and K inputs of a slice, b bytes of packed
bits, G groups of four addends, T rows of tables, L sixteen floats, N blocks of sixteen
columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from trainfit.algorithms.numerics.lazy_kernels import lookup_kernels
from trainfit.algorithms.numerics.operators import operator
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


def _padded(columns: int) -> int:
    return -(-columns // LANES) * LANES


def add_signed(
    x_BI: torch.Tensor,
    columns: slice,
    w_Ob: torch.Tensor,
    z_BO: torch.Tensor,
    work: Workspace,
) -> None:
    """``z += x w^T`` for packed signs.

    Args:
        x_BI: float32, may be strided.
        columns: Those of x that belong to w.
        w_Ob: Bits of w in {-1, +1}, uint8, contiguous.
        z_BO: float32, contiguous.
        work: For O columns.
    """
    inner = columns.stop - columns.start
    add_by_lookup(x_BI, columns.start, inner, w_Ob, z_BO, work.tables, work.index)


@operator(
    "add_by_lookup(Tensor x_BI, int first, int inner, Tensor w_Ob, Tensor(a!) z_BO,"
    " Tensor(b!) scratch_tables, Tensor(c!) scratch_index) -> ()"
)
def add_by_lookup(  # noqa: PLR0917
    x_BI: torch.Tensor,
    first: int,
    inner: int,
    w_Ob: torch.Tensor,
    z_BO: torch.Tensor,
    scratch_tables: torch.Tensor,
    scratch_index: torch.Tensor,
) -> None:
    """``add_signed`` for ``inner`` columns of x, beginning with column ``first``."""
    tables, index = scratch_tables.numpy(), scratch_index.numpy()
    lookup_kernels.add_signed(x_BI.numpy(), first, inner, w_Ob.numpy(), z_BO.numpy(), tables, index)


def bit_gradient(
    dz_BJ: torch.Tensor, first: int, h_Bb: torch.Tensor, dw_JK: torch.Tensor, work: Workspace
) -> None:
    """``dw = dz^T h`` for packed activations in {0, 1}, for some of dz's columns.

    Args:
        dz_BJ: float32, contiguous.
        first: The column of dz that belongs to the first row of dw.
        h_Bb: uint8, contiguous, K bits in a row.
        dw_JK: float32, contiguous; overwritten.
        work: For K columns.
    """
    gradient_by_lookup(dz_BJ, first, h_Bb, dw_JK, work.tables, work.index)


@operator(
    "gradient_by_lookup(Tensor dz_BJ, int first, Tensor h_Bb, Tensor(a!) dw_JK,"
    " Tensor(b!) scratch_tables, Tensor(c!) scratch_index) -> ()"
)
def gradient_by_lookup(  # noqa: PLR0917
    dz_BJ: torch.Tensor,
    first: int,
    h_Bb: torch.Tensor,
    dw_JK: torch.Tensor,
    scratch_tables: torch.Tensor,
    scratch_index: torch.Tensor,
) -> None:
    """``bit_gradient`` with its workspace as tensors."""
    tables, index = scratch_tables.numpy(), scratch_index.numpy()
    operands = dz_BJ.numpy(), first, h_Bb.numpy(), dw_JK.numpy()
    lookup_kernels.bit_gradient(*operands, tables, index, index.view(np.uint64))
