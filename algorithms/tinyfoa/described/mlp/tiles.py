"""Size of the workspace of ``tinyfoa`` (described), chosen so that it does not set the peak.

Packed bits are unpacked a tile at a time. A larger tile is faster, so each phase may use as much as
the other phase's tensors need anyway, plus a twentieth of the peak.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainfit.algorithms.models import Mlp

_MOST = 1 << 20  # bytes; beyond this a larger tile is no faster
_UNPACKED = 5  # bytes per bit during unpacking: four of float32, and one intermediate


@dataclass(frozen=True)
class Tiles:
    """Extents of the workspace for one layer and batch size.

    Attributes:
        weight_rows: Rows of packed weights unpacked at a time for the real-valued batch.
        columns: Input columns of packed activations unpacked at a time (``kernel=tiles``).
        tile_rows: Rows of packed weights unpacked at a time for those columns.
        pack_rows: Rows of the batch whose activations are packed at a time.
        mask_rows: Rows of the batch whose mask is unpacked at a time.
        gradient_rows: Rows of the slice whose gradient exists at a time.
        gradient_columns: Input columns unpacked at a time for the gradient.
        sign_rows: Rows of the slice whose signs are packed at a time.
    """

    weight_rows: int
    columns: int
    tile_rows: int
    pack_rows: int
    mask_rows: int
    gradient_rows: int
    gradient_columns: int
    sign_rows: int


def choose_tiles(
    model: Mlp, index: int, active: int, batch: int, slices: int, *, fused: bool
) -> Tiles:
    """Tiles for a layer while layer ``active`` is trained.

    Args:
        model: The net.
        index: The layer, ``active`` or one below it (from 0).
        active: The layer that is trained, whose tensors set the peak.
        batch: Rows of the batch.
        slices: M, by which all widths are divisible.
        fused: Whether the slice's gradient is applied some rows at a time.
    """
    inputs, outputs = model.layers[index]
    height, width = outputs // slices, inputs // slices
    forward, gradient = _needed(model, index, batch, slices, fused=fused)
    peak = max(_needed(model, active, batch, slices, fused=fused))
    ahead = min(_MOST, max(peak - forward, 0) + peak // 20)
    behind = min(_MOST, max(peak - gradient, 0) + peak // 20)
    columns = _whole_bytes(ahead // 2 // (_UNPACKED * batch), width)
    return Tiles(
        weight_rows=_between(ahead // (_UNPACKED * width), outputs),
        columns=columns,
        tile_rows=_between(ahead // 2 // (_UNPACKED * columns), outputs),
        pack_rows=_between(ahead // (2 * height), batch),
        mask_rows=_between(behind // (_UNPACKED * height), batch),
        gradient_rows=_between(behind // 2 // (4 * width), height) if fused else height,
        gradient_columns=_whole_bytes(behind // 2 // (_UNPACKED * batch), width),
        sign_rows=_between(behind // width, height),
    )


def _needed(model: Mlp, index: int, batch: int, slices: int, *, fused: bool) -> tuple[int, int]:
    """Bytes of the large tensors of a layer: z in the forward pass; dz and dW afterwards."""
    inputs, outputs = model.layers[index]
    height, width = outputs // slices, inputs // slices
    return 4 * batch * outputs, 4 * batch * height + (0 if fused else 4 * height * width)


def _between(rows: int, most: int) -> int:
    return max(1, min(rows, most))


def _whole_bytes(columns: int, most: int) -> int:
    return min(max(8, columns - columns % 8), most)
