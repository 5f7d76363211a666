"""The part of a layer's input that ``sparse_update`` stores, and the gradient of its rectifier.

Columns whose weights are trained are kept as values; the others as one bit each, if a gradient has
to pass their rectifiers.

Shape suffixes: B batch, I inputs of the layer, K columns kept, b bytes of packed bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from trainfit.algorithms.memory.operations import Kind
from trainfit.algorithms.memory.plan import Item, MemoryPlan
from trainfit.algorithms.numerics.binary.packing import (
    pack_positive,
    packed_width,
    plan_pack,
    plan_unpack,
    unpack,
)
from trainfit.algorithms.phases import Category
from trainfit.algorithms.tiling import in_tiles

_TILES = 16  # bits are packed and unpacked a sixteenth of the batch at a time


class Kept(NamedTuple):
    """The stored part of an input."""

    h_BK: torch.Tensor | None
    mask_Bb: torch.Tensor | None


class KeptItems(NamedTuple):
    """The same in the closed form; ``whole`` is the input itself if all of it is kept."""

    whole: Item | None
    part: Item | None
    mask: Item | None

    def release(self, plan: MemoryPlan, h: Item | None) -> None:
        """The input dies after the layer's product, unless it is kept whole."""
        if h is None or self.whole is not None:
            return
        if self.part is not None:
            plan.hand_over(h, self.part)
        else:
            plan.free(h)

    def items(self) -> list[Item]:
        """The items that die after the gradient has passed the layer."""
        return [item for item in self if item is not None]


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


# ---- the closed form ------------------------------------------------------------------------


def plan_keep(
    plan: MemoryPlan, h: Item | None, shape: tuple[int, int], columns: int, *, masked: bool
) -> KeptItems:
    """The closed form of ``keep``.

    Args:
        plan: The plan of the step.
        h: The input; None for the batch, which the step does not free.
        shape: Shape of the input.
        columns: As for ``keep``.
        masked: As for ``keep``.
    """
    batch, width = shape
    part = mask = None
    if h is not None and 0 < columns < width:
        # of the input that dies after this layer's product, these columns might stay in place
        part = plan.alloc("columns kept", (batch, columns), Category.ACTIVATIONS, essential=False)
    if masked and columns < width:
        mask = plan.alloc("mask", (batch, width - columns), Category.ACTIVATIONS, bits=1)
        plan_pack(plan, batch, width - columns, _rows(batch), 1)
    return KeptItems(h if columns == width else None, part, mask)


def plan_through_rectifier(plan: MemoryPlan, shape: tuple[int, int], columns: int) -> None:
    """The closed form of ``through_rectifier_`` where ``columns`` are kept as values."""
    batch, width = shape
    if columns < width:
        for rows in plan.tiles(batch, _rows(batch)):
            plan.free(plan_unpack(plan, rows, width - columns))
    plan.each(Kind.COMPARE, batch * width)
