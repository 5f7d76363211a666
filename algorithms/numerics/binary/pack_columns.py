"""Comparisons of floats, packed into bits in the same pass: no bool for every float exists.

The bits are those of :mod:`trainfit.algorithms.numerics.binary.packing`, whose functions do the
same with torch's operators and a tile of bools.

Shape suffixes: R rows, C columns, b bytes of packed bits.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.lazy_kernels import pack_kernels
from trainfit.algorithms.numerics.operators import operator


def pack_signs(values_RC: torch.Tensor, columns: slice, out_Rb: torch.Tensor) -> None:
    """Write the bits of ``values >= 0``.

    Args:
        values_RC: float32, contiguous.
        columns: Those that are packed.
        out_Rb: uint8, contiguous.
    """
    _run(values_RC, columns, out_Rb, strict=False, below=False)


def pack_positive(values_RC: torch.Tensor, columns: slice, out_Rb: torch.Tensor) -> None:
    """Write the bits of ``values > 0``; arguments as above."""
    _run(values_RC, columns, out_Rb, strict=True, below=False)


def pack_open_unit(values_RC: torch.Tensor, columns: slice, out_Rb: torch.Tensor) -> None:
    """Write the bits of ``0 < values < 1``; arguments as above."""
    _run(values_RC, columns, out_Rb, strict=True, below=True)


def _run(
    values_RC: torch.Tensor, columns: slice, out_Rb: torch.Tensor, *, strict: bool, below: bool
) -> None:
    count = columns.stop - columns.start
    pack_columns(values_RC, columns.start, count, out_Rb, strict=strict, below=below)


@operator(
    "pack_columns(Tensor values_RC, int first, int count, Tensor(a!) out_Rb, *, bool strict,"
    " bool below) -> ()"
)
def pack_columns(
    values_RC: torch.Tensor,
    first: int,
    count: int,
    out_Rb: torch.Tensor,
    *,
    strict: bool,
    below: bool,
) -> None:
    """Write the bits of ``values >= 0``, or ``> 0`` if strict, and ``< 1`` if below."""
    pack_kernels.pack(values_RC.numpy(), first, count, out_Rb.numpy(), strict, below)
