"""Size of the workspace of ``tinyfoa`` (described), chosen so that it does not set the peak.

Packed bits are unpacked a tile at a time, or products with them are looked up in tables of some
groups of addends (``kernel=popcount``). More is faster, so each phase may use as much as the other
phase's tensors need anyway, plus a twentieth of the peak. Where not even one group's tables fit, in
nets of a few dozen units, bits are unpacked with either kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary.lookups import LANES, choose_groups, work_bytes

_MOST = 1 << 20  # bytes; beyond this a larger tile is no faster
_UNPACKED = 5  # bytes per bit during unpacking: four of float32, and one intermediate


@dataclass(frozen=True)
class Tiles:
    """Extents of the workspace for one layer and batch size.

    Attributes:
        weight_groups: Groups of inputs whose sums are in tables for the real-valued batch; 0 to
            unpack bits instead.
        weight_rows: Rows of packed weights unpacked at a time for the real-valued batch.
        columns: Input columns of packed activations unpacked at a time (``kernel=tiles``).
        tile_rows: Rows of packed weights unpacked at a time for those columns.
        pack_rows: Rows of the batch whose activations are packed at a time.
        mask_rows: Rows of the batch whose mask is unpacked at a time.
        gradient_rows: Rows of the slice whose gradient exists at a time.
        gradient_groups: Groups of samples whose sums are in tables for the gradient; 0 to unpack
            bits instead.
        gradient_columns: Input columns unpacked at a time for the gradient.
        sign_rows: Rows of the slice whose signs are packed at a time.
    """

    weight_groups: int
    weight_rows: int
    columns: int
    tile_rows: int
    pack_rows: int
    mask_rows: int
    gradient_rows: int
    gradient_groups: int
    gradient_columns: int
    sign_rows: int


def choose_tiles(
    model: Mlp,
    index: int,
    active: int,
    batch: int,
    slices: int,
    *,
    fused: bool,
    compiled: bool,
) -> Tiles:
    """Tiles for a layer while layer ``active`` is trained.

    Args:
        model: The net.
        index: The layer, ``active`` or one below it (from 0).
        active: The layer that is trained, whose tensors set the peak.
        batch: Rows of the batch.
        slices: M, by which all widths are divisible.
        fused: Whether the slice's gradient is applied some rows at a time.
        compiled: Whether products of floats and bits may be looked up.
    """
    inputs, outputs = model.layers[index]
    height, width = outputs // slices, inputs // slices
    forward, gradient = _needed(model, index, batch, slices, fused=fused)
    peak = max(_needed(model, active, batch, slices, fused=fused))
    ahead = min(_MOST, max(peak - forward, 0) + peak // 20)
    behind = min(_MOST, max(peak - gradient, 0) + peak // 20)
    columns = _whole_bytes(ahead // 2 // (_UNPACKED * batch), width)
    weight_rows = _between(ahead // (_UNPACKED * width), outputs)
    gradient_rows = _between(behind // 2 // (4 * width), height) if fused else height
    gradient_columns = _whole_bytes(behind // 2 // (_UNPACKED * batch), width)
    # Tables replace the tile, within its bytes. The first layer's input is the batch itself.
    weight_groups = gradient_groups = 0
    if compiled and index == 0:
        weight_groups = choose_groups(_UNPACKED * width * weight_rows, width, outputs)
    elif compiled:
        tile = _UNPACKED * batch * gradient_columns
        gradient_groups = choose_groups(tile, batch, width)
        if fused and gradient_groups:
            tile -= work_bytes(gradient_groups, width)
            gradient_rows = _whole_blocks(gradient_rows + tile // (4 * width), height)
    return Tiles(
        weight_groups=weight_groups,
        weight_rows=weight_rows,
        columns=columns,
        tile_rows=_between(ahead // 2 // (_UNPACKED * columns), outputs),
        pack_rows=_between(ahead // (2 * height), batch),
        mask_rows=_between(behind // (_UNPACKED * height), batch),
        gradient_rows=gradient_rows,
        gradient_groups=gradient_groups,
        gradient_columns=gradient_columns,
        sign_rows=_between(behind // width, height),
    )


def _needed(model: Mlp, index: int, batch: int, slices: int, *, fused: bool) -> tuple[int, int]:
    """Bytes of the large tensors of a layer: z in the forward pass; dz and dW afterwards."""
    inputs, outputs = model.layers[index]
    height, width = outputs // slices, inputs // slices
    return 4 * batch * outputs, 4 * batch * height + (0 if fused else 4 * height * width)


def _between(rows: int, most: int) -> int:
    return max(1, min(rows, most))


def _whole_blocks(rows: int, most: int) -> int:
    """As many rows as are looked up side by side, or a multiple; all of them, or a few."""
    return min(rows - rows % LANES if rows > LANES else rows, most)


def _whole_bytes(columns: int, most: int) -> int:
    return min(max(8, columns - columns % 8), most)
