"""Products of INT8 matrices, summed in INT32.

Sums of up to 2^17 products cannot overflow. ``kernel=torch`` multiplies tiles as float64, which is
exact. Shape suffixes: B batch, I inputs, O outputs.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8 import torch_kernels as int8_torch
from trainfit.algorithms.numerics.int8.blocks import GROUP, SPREAD_ROWS
from trainfit.algorithms.numerics.lazy_kernels import int8_product_kernels
from trainfit.algorithms.options import Int8Kernel
from trainfit.algorithms.phases import Category, tag


def int8_linear(
    h_BI: torch.Tensor,
    w_OI: torch.Tensor,
    *,
    out_BO: torch.Tensor | None = None,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> torch.Tensor:
    """``z = h w^T``, int32, shape (B, O): the forward product.

    Args:
        h_BI: int8, contiguous.
        w_OI: int8, contiguous.
        out_BO: int32, contiguous; allocated if not given.
        kernel: Implementation; no influence on the result.
    """
    z_BO = _room(len(h_BI), len(w_OI), out_BO)
    if kernel is Int8Kernel.TORCH:
        int8_torch.linear(h_BI, w_OI, z_BO)
    else:
        work = h_BI.numel() * len(w_OI)
        parts = threads.parts_of(len(h_BI), GROUP, work)
        scratch = [(wide_of(part.stop - part.start, h_BI.shape[1]),) for part in parts]
        threads.call(int8_product_kernels.linear, parts, (h_BI, w_OI, z_BO), scratch)
    return z_BO


def int8_grad_input(
    d_BO: torch.Tensor,
    w_OI: torch.Tensor,
    *,
    out_BI: torch.Tensor | None = None,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> torch.Tensor:
    """``dh = d w``, int32, shape (B, I): the gradient for the layer below."""
    dh_BI = _room(len(d_BO), w_OI.shape[1], out_BI)
    if kernel is Int8Kernel.TORCH:
        int8_torch.through(d_BO, w_OI, dh_BI)
    else:
        parts = threads.parts_of(len(d_BO), SPREAD_ROWS, d_BO.numel() * w_OI.shape[1])
        scratch = [(pairs_of(d_BO.shape[1]),) for _ in parts]
        threads.call(int8_product_kernels.through, parts, (d_BO, w_OI, dh_BI), scratch)
    return dh_BI


def int8_grad_weight(
    d_BO: torch.Tensor,
    h_BI: torch.Tensor,
    *,
    out_OI: torch.Tensor | None = None,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> torch.Tensor:
    """``g = d^T h``, int32, shape (O, I): the gradient of the weights."""
    g_OI = _room(d_BO.shape[1], h_BI.shape[1], out_OI)
    if kernel is Int8Kernel.TORCH:
        int8_torch.outer(d_BO, h_BI, g_OI)
    else:
        parts = threads.parts_of(d_BO.shape[1], SPREAD_ROWS, d_BO.numel() * h_BI.shape[1])
        scratch = [(pairs_of(len(d_BO)),) for _ in parts]
        threads.call(int8_product_kernels.outer, parts, (d_BO, h_BI, g_OI), scratch)
    return g_OI


def _room(rows: int, columns: int, out: torch.Tensor | None) -> torch.Tensor:
    return torch.empty(rows, columns, dtype=torch.int32) if out is None else out


def wide_of(batch: int, inputs: int) -> torch.Tensor:
    """Scratch for a few rows of activations as INT16, for ``int8_linear``."""
    wide_GI = torch.empty(min(GROUP, batch), inputs, dtype=torch.int16)
    return tag(wide_GI, Category.WORKSPACE, "INT8 as INT16")


def plan_wide(plan: MemoryPlan, batch: int, inputs: int) -> Item:
    """The closed form of ``wide_of``; the caller frees it."""
    shape = (min(GROUP, batch), inputs)
    return plan.alloc("INT8 as INT16", shape, Category.WORKSPACE, bits=16, essential=False)


def pairs_of(inner: int) -> torch.Tensor:
    """Scratch for a few rows of the left operand, regrouped for the kernel."""
    pairs_RP = torch.empty(SPREAD_ROWS, (inner + 1) // 2, dtype=torch.int32)
    return tag(pairs_RP, Category.WORKSPACE, "pairs of INT8")


def plan_pairs(plan: MemoryPlan, inner: int) -> Item:
    """The closed form of ``pairs_of``; the caller frees it."""
    shape = (SPREAD_ROWS, (inner + 1) // 2)
    return plan.alloc("pairs of INT8", shape, Category.WORKSPACE, essential=False)


def plan_int8_product(
    plan: MemoryPlan,
    rows: int,
    inner: int,
    columns: int,
    *,
    pairs: bool = False,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> None:
    """The closed form of a (rows, inner) by (inner, columns) product, without its INT32 result.

    ``pairs`` is for ``int8_grad_input`` and ``int8_grad_weight``, whose compiled form has different
    scratch.
    """
    plan.product(rows, inner, columns, NumberFormat.INT8)
    if kernel is Int8Kernel.TORCH:
        int8_torch.plan_product(plan, rows, inner, columns)
    else:
        plan.free(plan_pairs(plan, inner) if pairs else plan_wide(plan, rows, inner))
