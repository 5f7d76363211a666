"""Products of INT8 matrices, summed in INT32.

Sums of up to 2^17 products cannot overflow. ``kernel=torch`` multiplies tiles as float64, which is
exact. Shape suffixes: B batch, I inputs, O outputs.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.int8 import torch_kernels as int8_torch
from trainfit.algorithms.numerics.int8.blocks import GROUP, SPREAD_ROWS
from trainfit.algorithms.numerics.lazy_kernels import int8_product_kernels
from trainfit.algorithms.numerics.operators import operator
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
        wide = [wide_of(stop - start, h_BI.shape[1]) for start, stop in _linear_parts(h_BI, w_OI)]
        int8_linear_into(h_BI, w_OI, z_BO, wide)
    return z_BO


@operator("int8_linear(Tensor h_BI, Tensor w_OI, Tensor(a!) z_BO, Tensor(b!)[] scratch_wide) -> ()")
def int8_linear_into(
    h_BI: torch.Tensor, w_OI: torch.Tensor, z_BO: torch.Tensor, scratch_wide: list[torch.Tensor]
) -> None:
    """``int8_linear`` with ``wide_of`` the rows of each thread."""
    scratch = [(wide_GI,) for wide_GI in scratch_wide]
    parts = _linear_parts(h_BI, w_OI)
    threads.call(int8_product_kernels.linear, parts, (h_BI, w_OI, z_BO), scratch)


def _linear_parts(h_BI: torch.Tensor, w_OI: torch.Tensor) -> list[threads.Part]:
    """The rows of activations for each thread."""
    return threads.parts_of(len(h_BI), GROUP, h_BI.numel() * len(w_OI))


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
        pairs = [pairs_of(d_BO.shape[1]) for _ in _grad_input_parts(d_BO, w_OI)]
        int8_grad_input_into(d_BO, w_OI, dh_BI, pairs)
    return dh_BI


@operator(
    "int8_grad_input(Tensor d_BO, Tensor w_OI, Tensor(a!) dh_BI, Tensor(b!)[] scratch_pairs) -> ()"
)
def int8_grad_input_into(
    d_BO: torch.Tensor, w_OI: torch.Tensor, dh_BI: torch.Tensor, scratch_pairs: list[torch.Tensor]
) -> None:
    """``int8_grad_input`` with ``pairs_of`` the outputs for each thread."""
    scratch = [(pairs_RP,) for pairs_RP in scratch_pairs]
    parts = _grad_input_parts(d_BO, w_OI)
    threads.call(int8_product_kernels.through, parts, (d_BO, w_OI, dh_BI), scratch)


def _grad_input_parts(d_BO: torch.Tensor, w_OI: torch.Tensor) -> list[threads.Part]:
    """The rows of gradients for each thread."""
    return threads.parts_of(len(d_BO), SPREAD_ROWS, d_BO.numel() * w_OI.shape[1])


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
        pairs = [pairs_of(len(d_BO)) for _ in grad_weight_parts(d_BO, h_BI)]
        int8_grad_weight_into(d_BO, h_BI, g_OI, pairs)
    return g_OI


@operator(
    "int8_grad_weight(Tensor d_BO, Tensor h_BI, Tensor(a!) g_OI, Tensor(b!)[] scratch_pairs) -> ()"
)
def int8_grad_weight_into(
    d_BO: torch.Tensor, h_BI: torch.Tensor, g_OI: torch.Tensor, scratch_pairs: list[torch.Tensor]
) -> None:
    """``int8_grad_weight`` with ``pairs_of`` the batch for each thread."""
    scratch = [(pairs_RP,) for pairs_RP in scratch_pairs]
    parts = grad_weight_parts(d_BO, h_BI)
    threads.call(int8_product_kernels.outer, parts, (d_BO, h_BI, g_OI), scratch)


def grad_weight_parts(d_BO: torch.Tensor, h_BI: torch.Tensor) -> list[threads.Part]:
    """The outputs, which are rows of ``d^T h``, for each thread."""
    return threads.parts_of(d_BO.shape[1], SPREAD_ROWS, d_BO.numel() * h_BI.shape[1])


def _room(rows: int, columns: int, out: torch.Tensor | None) -> torch.Tensor:
    return torch.empty(rows, columns, dtype=torch.int32) if out is None else out


def wide_of(batch: int, inputs: int) -> torch.Tensor:
    """Scratch for a few rows of activations as INT16, for ``int8_linear``."""
    wide_GI = torch.empty(min(GROUP, batch), inputs, dtype=torch.int16)
    return tag(wide_GI, Category.WORKSPACE, "INT8 as INT16")


def pairs_of(inner: int) -> torch.Tensor:
    """Scratch for a few rows of the left operand, regrouped for the kernel."""
    pairs_RP = torch.empty(SPREAD_ROWS, (inner + 1) // 2, dtype=torch.int32)
    return tag(pairs_RP, Category.WORKSPACE, "pairs of INT8")
