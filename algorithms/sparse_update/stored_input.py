"""The part of a layer's input that ``sparse_update`` stores, and the gradient of its rectifier.

Columns whose weights are trained are kept as values; the others as one bit each, if a gradient has
to pass their rectifiers.

Shape suffixes: B batch, I inputs of the layer, K columns kept, b bytes of packed bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.binary.packing import (
    pack_positive,
    packed_width,
    unpack,
)
from trainfit.algorithms.tiling import in_tiles

_TILES = 16  # bits are packed and unpacked a sixteenth of the batch at a time


class Kept(NamedTuple):
    """The stored part of an input."""

    h_BK: torch.Tensor | None
    mask_Bb: torch.Tensor | None


def keep(h_BI: torch.Tensor, columns: int, *, masked: bool, copied: bool) -> Kept:
    """Store the needed part of an input.

    Args:
        h_BI: The input, of which nothing else may stay alive.
        columns: Number of the first columns that are kept, 0 for none.
        masked: Whether a gradient passes the rectifiers of this input.
        copied: Whether the kept columns are copied, so that the others can be freed.
    """
    h_BK = mask_Bb = None
    if columns:
        h_BK = h_BI[:, :columns].clone() if copied else h_BI[:, :columns]
    if masked and columns < h_BI.shape[1]:
        rest = h_BI[:, columns:]
        mask_Bb = rest.new_empty(len(rest), packed_width(rest.shape[1]), dtype=torch.uint8)
        pack_positive(rest, mask_Bb, _rows(len(rest)))
    return Kept(h_BK, mask_Bb)


def through_rectifier_(dh_BI: torch.Tensor, kept: Kept) -> torch.Tensor:
    """``dh . 1[h > 0]``, in place."""
    columns = 0
    if kept.h_BK is not None:
        columns = kept.h_BK.shape[1]
        known = dh_BI[:, :columns]
        torch.ops.aten.threshold_backward.grad_input(known, kept.h_BK, 0, grad_input=known)
    if kept.mask_Bb is not None:
        rest = dh_BI[:, columns:]
        for part in in_tiles(len(rest), _rows(len(rest))):
            rest[part].mul_(unpack(kept.mask_Bb[part], rest.shape[1]))
    return dh_BI


def _rows(batch: int) -> int:
    return -(-batch // _TILES)
