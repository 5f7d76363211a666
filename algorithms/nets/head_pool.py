"""What a head of its own sees of a unit: its output, averaged over windows (Nokland & Eidnes)."""

from __future__ import annotations

from math import prod

from trainfit.algorithms.blocks.float32.pool import PoolBlock
from trainfit.algorithms.models.layers import Pool, Pooling
from trainfit.algorithms.models.model import Shape


def pool_to(shape: Shape, most: int) -> tuple[PoolBlock | None, Shape]:
    """The pool after which a map has at most so many features, and the shape after it.

    Args:
        shape: Of the map.
        most: Features; if the means of whole channels are more, it is these.

    Returns:
        No pool where none is needed.
    """
    window = window_for(shape, most)
    if window == 1:
        return None, shape
    layer = Pool(Pooling.AVERAGE, (window, window), (window, window))
    return PoolBlock(layer), layer.shape_after(shape)


def window_for(shape: Shape, most: int) -> int:
    """The smallest window that leaves at most so many features; at most the whole map."""
    channels, *extents = shape
    window = 1
    while window < min(extents) and channels * prod(e // window for e in extents) > most:
        window += 1
    return window
