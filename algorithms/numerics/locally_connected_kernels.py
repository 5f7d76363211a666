"""Compiled loops over the neighbours of the positions of a map.

See :mod:`trainfit.algorithms.numerics.locally_connected` for the layout and
:mod:`trainfit.algorithms.numerics.binary.popcount_kernels` for the arithmetic of bits. Compiled on
first use; they allocate nothing.

Shape suffixes: B batch, H height and W width of the map, P positions, J outputs, S neighbours,
K values or bytes at one position, b bytes of packed bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainfit.algorithms.numerics.binary.popcount_kernels import count64, load64
from trainfit.algorithms.numerics.compiled import compiled


@compiled(
    [
        "void(uint8[:,:,:,:], uint8[:,:,:,::1], intp)",
        "void(float32[:,:,:,:], float32[:,:,:,::1], intp)",
    ],
    nogil=True,
)
def copy_patches(maps_BHWK: Any, out_PBSK: Any, first: int) -> None:  # pragma: no cover  (compiled)
    """The nine neighbours of the positions from ``first`` on, zeros beyond the border."""
    batch, height, width, inner = maps_BHWK.shape
    for p in range(out_PBSK.shape[0]):
        row, column = (first + p) // width, (first + p) % width
        for b in range(batch):
            for s in range(9):
                y, x = row + s // 3 - 1, column + s % 3 - 1
                if 0 <= y < height and 0 <= x < width:
                    for k in range(inner):
                        out_PBSK[p, b, s, k] = maps_BHWK[b, y, x, k]
                else:
                    for k in range(inner):
                        out_PBSK[p, b, s, k] = 0


@compiled(
    "void(uint8[:,:,:], uint8[:,:,:,::1], float32[:,:,::1], uint8[::1], intp)",
    nogil=True,
)
def add_binary_product(
    h_BPb: Any, w_PJSb: Any, z_BPJ: Any, patch: Any, width: int
) -> None:  # pragma: no cover  (compiled)
    """``z += w h`` at every position of a map of ``width`` columns."""
    batch, positions, row = h_BPb.shape
    outputs = w_PJSb.shape[1]
    height, size = positions // width, patch.shape[0]
    words = size // 8
    for p in range(positions):
        for b in range(batch):
            own = np.uint64(0)
            for s in range(9):
                y, x = p // width + s // 3 - 1, p % width + s % 3 - 1
                inside = 0 <= y < height and 0 <= x < width
                for k in range(row):
                    byte = h_BPb[b, y * width + x, k] if inside else np.uint8(0)
                    patch[s * row + k] = byte
                    own += count64(np.uint64(byte))
            for j in range(outputs):
                both = np.uint64(0)
                first = (p * outputs + j) * size
                for k in range(words):
                    both += count64(load64(patch, 8 * k) & load64(w_PJSb, first + 8 * k))
                for k in range(8 * words, size):
                    byte = patch[k] & w_PJSb[p, j, k // row, k % row]
                    both += count64(np.uint64(byte))
                z_BPJ[b, p, j] += np.float32(2.0) * np.float32(both) - np.float32(own)
