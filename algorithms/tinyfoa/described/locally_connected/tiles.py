"""Size of the workspace of ``tinyfoa`` (described) on locally connected nets.

The peak is n or dz, and with ``update=whole`` also the slice's gradient. As in
:mod:`trainfit.algorithms.tinyfoa.described.mlp.tiles`, the workspace may use the bytes of the peak
while its tensors do not exist yet or any more, plus a twentieth of the peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainfit.algorithms.numerics.binary.packing import packed_width
from trainfit.algorithms.tinyfoa.grid import Grid

_MOST = 1 << 20  # bytes; beyond this a larger tile is no faster


@dataclass(frozen=True)
class Tiles:
    """Extents of the workspace for one layer and batch size.

    Attributes:
        product_positions: Positions whose patches and signs are unpacked at a time.
        pack_rows: Rows (a sample's channels at one position) that are packed at a time.
        batch_rows: Samples of which a second map exists at a time.
        gradient_positions: Positions whose patches, and with ``update=fused`` whose gradient,
            exist at a time.
        sign_rows: Rows of the slice whose signs are packed at a time.
    """

    product_positions: int
    pack_rows: int
    batch_rows: int
    gradient_positions: int
    sign_rows: int


def choose_tiles(
    grids: Sequence[Grid], index: int, active: int, batch: int, *, fused: bool
) -> Tiles:
    """Tiles for a layer while layer ``active`` is trained.

    Args:
        grids: All hidden layers.
        index: The layer, ``active`` or one below it (from 0).
        active: The layer that is trained, whose tensors set the peak.
        batch: Rows of the batch.
        fused: Whether the slice's gradient is applied some positions at a time.
    """
    grid = grids[index]
    maps = 4 * batch * grid.units
    trained = grids[active]
    peak = 4 * batch * trained.units + (0 if fused else 4 * trained.slice_weights)
    beside_maps = min(_MOST, max(peak - maps, 0) + peak // 20)
    beside_all = min(_MOST, peak // 20)
    afterwards = min(_MOST, peak)  # once dz is gone
    bits = 8 * grid.segments * packed_width(grid.inputs)  # of one output's weights, padded
    patches, signs = 6 * bits * batch, 5 * bits * grid.outputs  # bytes during unpacking
    own_gradient = 8 * grid.outputs * grid.fan_in if fused else 0  # and Adam's tile
    rows = grid.units * grid.segments
    return Tiles(
        product_positions=_between(beside_maps // (patches + signs), grid.positions),
        pack_rows=_between(beside_maps // (8 * packed_width(grid.outputs)), batch * grid.positions),
        batch_rows=_between(beside_maps // (8 * grid.units), batch),
        gradient_positions=_between(beside_all // (patches + own_gradient), grid.positions),
        sign_rows=_between(afterwards // (8 * packed_width(grid.inputs)), rows),
    )


def _between(rows: int, most: int) -> int:
    return max(1, min(rows, most))
