"""Products of locally connected layers, some positions of the map at a time.

The output of position p is a separate product: ``z[b, p, j] = sum_sk w[p, j, s, k] h[b, q, k]``
with q the s-th of the nine positions around p, and zeros beyond the border. So a batch of small
matrix products does for some positions what one product does for a linear layer, and nothing
larger than the patches of those positions is allocated.

Packed weights have a row of bits per segment of an input: if activations are packed too, each of
the nine neighbours is a segment; if the input is real, there is one segment for everything.

Shape suffixes: B batch, H height and W width of the map, P positions (H times W, row by row) or
some of them, J outputs, S segments, K inputs of a segment or of all, b bytes of packed bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainfit.algorithms.models.locally_connected import WINDOW
from trainfit.algorithms.numerics.binary.packing import unpack
from trainfit.algorithms.numerics.lazy_kernels import locally_connected_kernels
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.phases import Category, tag


def extent(tile: slice) -> int:
    """Number of positions of a tile."""
    return int(tile.stop - tile.start)


def patches(maps_BHWK: torch.Tensor, tile: slice) -> torch.Tensor:
    """The nine neighbours of every position of a tile, shape (P, B, 9, K), zeros outside."""
    batch, _, _, inner = maps_BHWK.shape
    out_PBSK = maps_BHWK.new_empty(extent(tile), batch, WINDOW, inner)
    tag(out_PBSK, Category.WORKSPACE, "patches")
    copy_patches(maps_BHWK, out_PBSK, tile.start)
    return out_PBSK


@operator("copy_patches(Tensor maps_BHWK, Tensor(a!) out_PBSK, int first) -> ()")
def copy_patches(maps_BHWK: torch.Tensor, out_PBSK: torch.Tensor, first: int) -> None:
    """Copy the nine neighbours of some positions, zeros beyond the border.

    Args:
        maps_BHWK: uint8 or float32, may be strided.
        out_PBSK: Same type, contiguous.
        first: The first of the P consecutive positions.
    """
    locally_connected_kernels.copy_patches(maps_BHWK.numpy(), out_PBSK.numpy(), first)


def real_patches(
    x_BI: torch.Tensor, shape: tuple[int, int, int]
) -> Callable[[slice], torch.Tensor]:
    """A function from a tile to its patches of real-valued inputs, shape (P, B, 9 channels)."""
    maps_BHWC = x_BI.view(len(x_BI), *shape).permute(0, 2, 3, 1)
    return lambda tile: patches(maps_BHWC, tile).flatten(2)


def bit_patches(h_BPb: torch.Tensor, height: int, inner: int) -> Callable[[slice], torch.Tensor]:
    """A function from a tile to its patches of packed bits, as zeros and ones, (P, B, 9 inner)."""
    batch, positions, row = h_BPb.shape
    maps_BHWb = h_BPb.view(batch, height, positions // height, row)

    def of(tile: slice) -> torch.Tensor:
        packed_PBSb = patches(maps_BHWb, tile)
        return unpack(packed_PBSb.view(-1, row), inner).view(extent(tile), batch, -1)

    return of


def add_binary_product(
    h_BPb: torch.Tensor, w_PJSb: torch.Tensor, z_BPJ: torch.Tensor, width: int, inner: int
) -> None:
    """``z += w h`` of a locally connected layer, exact in float32; one patch is its workspace.

    Args:
        h_BPb: Bits of h in {0, 1}, uint8, may be strided; padding bits are 0.
        w_PJSb: Bits of w in {-1, +1}, uint8, contiguous, for the nine neighbours.
        z_BPJ: float32, contiguous.
        width: Columns of the map, whose positions are stored row by row.
        inner: Inputs of a position without the padding, for whoever counts operations.
    """
    patch = torch.empty(w_PJSb.shape[2] * w_PJSb.shape[3], dtype=torch.uint8)
    tag(patch, Category.WORKSPACE, "patch")
    add_binary_patches(h_BPb, w_PJSb, z_BPJ, patch, width, inner)


@operator(
    "add_binary_patches(Tensor h_BPb, Tensor w_PJSb, Tensor(a!) z_BPJ, Tensor(b!) scratch_patch,"
    " int width, int inner) -> ()"
)
def add_binary_patches(  # noqa: PLR0917
    h_BPb: torch.Tensor,
    w_PJSb: torch.Tensor,
    z_BPJ: torch.Tensor,
    scratch_patch: torch.Tensor,
    width: int,
    inner: int,
) -> None:
    """``add_binary_product`` with memory for a patch of packed bits."""
    del inner
    operands = h_BPb.numpy(), w_PJSb.numpy(), z_BPJ.numpy()
    locally_connected_kernels.add_binary_product(*operands, scratch_patch.numpy(), width)


def add_signed_product(
    patches_PBK: torch.Tensor, w_PJSb: torch.Tensor, z_PBJ: torch.Tensor
) -> None:
    """``z += patches sign(w)^T`` at every position, with the signs of ``w`` unpacked.

    Args:
        patches_PBK: Inputs.
        w_PJSb: Packed signs, whose S segments make up the K inputs.
        z_PBJ: float32, may be strided.
    """
    positions, outputs, segments, row = w_PJSb.shape
    inner = patches_PBK.shape[2] // segments
    signs_PJK = unpack(w_PJSb.reshape(-1, row), inner).view(positions, outputs, -1)
    signs_PJK.mul_(2.0).sub_(1.0)
    z_PBJ.baddbmm_(patches_PBK, signs_PJK.transpose(1, 2))


def weight_gradient(
    dz_BPJ: torch.Tensor, patches_PBK: torch.Tensor, tile: slice, out_PJK: torch.Tensor
) -> None:
    """``out = dz^T patches`` at every position of a tile; ``dz`` covers the whole map."""
    torch.bmm(dz_BPJ[:, tile].permute(1, 2, 0), patches_PBK, out=out_PJK)
