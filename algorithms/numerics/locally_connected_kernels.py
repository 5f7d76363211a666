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
import torch

from trainfit.algorithms.numerics.binary.popcount_kernels import count64, load64
from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.phases import Category, tag


@compiled(
    [
        "void(uint8[:,:,:,:], uint8[:,:,:,::1], intp)",
        "void(float32[:,:,:,:], float32[:,:,:,::1], intp)",
    ],
    nogil=True,
)
def _copy(maps_BHWK: Any, out_PBSK: Any, first: int) -> None:  # pragma: no cover  (compiled)
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


def copy_patches(maps_BHWK: torch.Tensor, out_PBSK: torch.Tensor, first: int) -> None:
    """Copy the nine neighbours of some positions, zeros beyond the border.

    Args:
        maps_BHWK: uint8 or float32, may be strided.
        out_PBSK: Same type, contiguous.
        first: The first of the P consecutive positions.
    """
    _copy(maps_BHWK.numpy(), out_PBSK.numpy(), first)


@compiled(
    "void(uint8[:,:,:], uint8[:,:,:,::1], float32[:,:,::1], uint8[::1], intp)",
    nogil=True,
)
def _add_product(
    h_BPb: Any, w_PJSb: Any, z_BPJ: Any, patch: Any, width: int
) -> None:  # pragma: no cover  (compiled)
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


def add_binary_product(
    h_BPb: torch.Tensor, w_PJSb: torch.Tensor, z_BPJ: torch.Tensor, width: int
) -> None:
    """``z += w h`` of a locally connected layer, exact in float32; one patch is its workspace.

    Args:
        h_BPb: Bits of h in {0, 1}, uint8, may be strided; padding bits are 0.
        w_PJSb: Bits of w in {-1, +1}, uint8, contiguous, for the nine neighbours.
        z_BPJ: float32, contiguous.
        width: Columns of the map, whose positions are stored row by row.
    """
    patch = torch.empty(w_PJSb.shape[2] * w_PJSb.shape[3], dtype=torch.uint8)
    tag(patch, Category.WORKSPACE, "patch")
    _add_product(h_BPb.numpy(), w_PJSb.numpy(), z_BPJ.numpy(), patch.numpy(), width)
