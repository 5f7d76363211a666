"""Where the windows of a convolution lie, and maps whose shape does not matter to them.

See :mod:`.products` for the suffixes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

_LONG = 32
"""Places of a row of which little is lost where it ends."""


class Windows(NamedTuple):
    """Where the windows of a convolution lie.

    Attributes:
        stride: Steps between them, down and to the right.
        padding: Zeros above and below, and on both sides.
        groups: Parts of the channels that do not see each other.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1

    def result(self, x_NCHW: torch.Tensor, w_OCHW: torch.Tensor) -> torch.Size:
        """The shape of a convolution's result, (N, O, P, Q)."""
        height, width = (
            (extent + 2 * border - window) // step + 1
            for extent, border, window, step in zip(
                x_NCHW.shape[2:], self.padding, w_OCHW.shape[2:], self.stride, strict=True
            )
        )
        return torch.Size((len(x_NCHW), len(w_OCHW), height, width))

    def is_pointwise(self, w_OCHW: torch.Tensor) -> bool:
        """Whether every place sees itself alone; then the shape of a map does not matter."""
        return w_OCHW.shape[2:] == self.stride == (1, 1) and self.padding == (0, 0)


def in_line(maps_NCHW: torch.Tensor, w_OCHW: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Maps with rows of one place, if the shape of a map does not matter: any tile is possible."""
    if not windows.is_pointwise(w_OCHW):
        return maps_NCHW
    return maps_NCHW.view(*maps_NCHW.shape[:2], -1, 1)


def in_rows(maps_NCHW: torch.Tensor, w_OCHW: torch.Tensor, windows: Windows) -> torch.Tensor:
    """The same with rows of whole rows that have at least ``_LONG`` places, or all there are."""
    height, width = maps_NCHW.shape[2:]
    if not windows.is_pointwise(w_OCHW):
        return maps_NCHW
    joined = [rows for rows in range(1, height + 1) if height % rows == 0]
    rows = next((rows for rows in joined if rows * width >= _LONG), height)
    return maps_NCHW.view(*maps_NCHW.shape[:2], height // rows, rows * width)
