"""The derivative of a rectifier as one bit per element, in one piece, a tile at a time."""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.binary.packing import pack_between, packed_width, unpack
from trainfit.algorithms.tiling import in_tiles

_TILES = 16
"""A tile is about this part of the whole, so that its bytes on the way to bits are few."""


def bits_of(y: torch.Tensor, top: float) -> torch.Tensor:
    """Where an output is above 0 and below ``top``.

    Args:
        y: Contiguous.
        top: Where a rectifier stops to rise; infinity if it does not.

    Returns:
        uint8, with eight elements in a byte.
    """
    flat_1E = y.view(1, -1)
    bits_1b = y.new_empty(1, packed_width(y.numel()), dtype=torch.uint8)
    for part in in_tiles(bits_1b.shape[1], _tile(y.numel())):
        pack_between(flat_1E[:, _elements(part)], top, bits_1b[:, part], 1)
    return bits_1b


def times_bits_(dy: torch.Tensor, bits_1b: torch.Tensor) -> torch.Tensor:
    """``dy``, contiguous, times those bits, in its place."""
    flat_1E = dy.view(1, -1)
    for part in in_tiles(bits_1b.shape[1], _tile(dy.numel())):
        tile = flat_1E[:, _elements(part)]
        tile.mul_(unpack(bits_1b[:, part], tile.shape[1]))
    return dy


def _tile(elements: int) -> int:
    """Bytes of bits."""
    return -(-packed_width(elements) // _TILES)


def _elements(part: slice) -> slice:
    """The elements of some bytes; of the last one there may be fewer."""
    return slice(8 * part.start, 8 * part.stop)
