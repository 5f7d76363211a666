"""Scratch memory of a convolution's kernels: how much at a time, and the tensors.

A kernel goes through a convolution in blocks whose columns, weights and sums fit into about
``_BYTES``. Sizes follow from shapes alone, so they are the same on every processor. See
:mod:`.products` for the suffixes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from trainfit.algorithms.numerics.int8.convolution.sizes import LANES, SCALARS
from trainfit.algorithms.phases import Category, tag

Tensors = list[torch.Tensor]

_BYTES = 16384
"""Of a tile with the weights that it meets, or of the sums for a gradient of the weight, if the
least that a kernel can do with fits into it."""

_LEAST = 64
"""Places and output channels that a tile of columns has room for, at least."""

_MOST_BLOCKS = 2
"""Blocks of ``LANES`` output channels that read the same rows of the input."""


def _even(whole: int, most: int) -> int:
    """The size of parts of at most ``most`` that are as equal as possible."""
    return -(-whole // -(-whole // most))


class Tiles(NamedTuple):
    """How a product goes through a convolution.

    Attributes:
        rows: Rows of places of a tile.
        results: Channels of the result at a time, a multiple of ``SCALARS``.
        summed: Channels that are summed over at a time.
    """

    rows: int
    results: int
    summed: int

    @classmethod
    def of(cls, channels: int, outputs: int, window: int, places: tuple[int, int]) -> Tiles:
        """For sums over ``channels`` of a group and so many elements of a window.

        Args:
            channels: Summed over.
            outputs: Channels of the result in a group.
            window: Elements of a window in one channel.
            places: Height and width of the result, or of the largest of its parts.
        """
        height, width = places
        quads = -(-channels // 4)
        quads = _even(quads, max(1, _BYTES // (_LEAST * 4 * window)))
        room = min(max(1, _BYTES // (4 * quads * window)), height * width + SCALARS)
        half = max(SCALARS, room // 2 // SCALARS * SCALARS)
        count = min(-(-outputs // SCALARS) * SCALARS, half)
        rows = min(height, max(1, (room - count) // width))
        of_whole_vectors = LANES // math.gcd(LANES, width)
        even = _even(height, rows)
        rounded = -(-even // of_whole_vectors) * of_whole_vectors
        rows = rounded if rounded <= rows else even
        return cls(rows, count, min(channels, 4 * quads))

    def tensors(self, threads: int, window: int, width: int, line: int) -> list[Tensors]:
        """Columns, weights with what their sums start from, a row of the map and some sums.

        Args:
            threads: How many of each.
            window: Elements of a window in one channel.
            width: Of the result.
            line: Elements of a row of the map with its borders.
        """
        steps = -(-self.summed // 4) * window
        return [
            _fours(threads, steps * self.rows * width + LANES, "tile of columns"),
            _fours(threads, self.results * (steps + 1), "weights of some channels"),
            _fours(threads, line + SCALARS * LANES, "row of a map"),
        ]


class Sums(NamedTuple):
    """How the gradient of a weight is summed.

    Attributes:
        rows: Rows of places at a time.
        outputs: Output channels at a time, a multiple of ``LANES``.
        inputs: Input channels at a time.
    """

    rows: int
    outputs: int
    inputs: int

    @classmethod
    def of(
        cls, outputs: int, weight: torch.Size, places: tuple[int, int], pitch: int, step: int
    ) -> Sums:
        """For so many output channels of a group.

        Args:
            outputs: Their number.
            weight: Shape of a weight, (O, C, H, W).
            places: Height and width of the result.
            pitch: Elements of a row of the input with its borders.
            step: Rows of the input from a row of places to the next.
        """
        _, seen, kh, kw = weight
        lane = 4 * LANES
        blocks = min(-(-outputs // LANES), _MOST_BLOCKS, max(1, _BYTES // (lane * kh * kw)))
        most = _even(seen, max(1, _BYTES // (lane * blocks * kh * kw)))
        height, width = places
        a_row = step * pitch * most + -(-width // 4) * lane * blocks
        rest = max(0, kh - step) * pitch * most
        rows = _even(height, min(height, max(1, (_BYTES // 2 - rest) // a_row)))
        return cls(rows, blocks * LANES, most)

    def tensors(
        self, threads: int, weight: torch.Size, width: int, pitch: int, step: int
    ) -> list[Tensors]:
        """Rows of the input and of gradients, where windows begin, and sums; see :meth:`of`."""
        _, _, kh, kw = weight
        tall = (self.rows - 1) * step + kh
        whole = -(-self.inputs * kh * kw // SCALARS) * SCALARS
        # A step reads four places, of which the last three may lie beyond a row.
        maps = self.inputs * tall * pitch + 4
        return [
            _scratch(threads, maps, torch.int8, "rows of a map"),
            _fours(threads, self.rows * -(-width // 4) * self.outputs, "rows of a gradient"),
            _fours(threads, whole + LANES, "where windows begin"),
            _fours(threads, whole * self.outputs, "INT32 sums"),
        ]


def _fours(threads: int, count: int, label: str) -> Tensors:
    """INT32, or four INT8 each."""
    return _scratch(threads, count, torch.int32, label)


def _scratch(threads: int, count: int, dtype: torch.dtype, label: str) -> Tensors:
    return [tag(torch.empty(count, dtype=dtype), Category.WORKSPACE, label) for _ in range(threads)]
