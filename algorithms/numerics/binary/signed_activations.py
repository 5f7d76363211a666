"""Two-valued activations ``t sign(z)``, the binarised form of tanh, and their products with signs.

``t = tanh(mean(abs(z)))`` over the whole batch: z is binarised first, then the tanh is applied,
which leaves two values. Their gradient is ``(1 - t^2) 1[abs(z) < 1]``, the derivative of tanh times
the straight-through cut. Their products with signs are in
:mod:`trainfit.algorithms.numerics.binary.popcount_kernels`.

Decisions: the sign of 0 is +1, since a bit has two values, and z = 0 passes no gradient.

Shape suffixes: B batch, O outputs, b bytes of packed bits.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.binary.activations import (
    Bits,
    mean_abs,
    tile_extent,
)
from trainfit.algorithms.numerics.binary.packing import pack_open_unit, pack_signs, packed_width


def binarise_signs(z_BO: torch.Tensor, *, mask: bool = True) -> Bits:
    """Pack the signs of a layer, and the mask of its gradient.

    Args:
        z_BO: Pre-activation; overwritten if there is a mask.
        mask: Whether a gradient will be propagated through the layer.
    """
    batch, outputs = z_BO.shape
    rows = tile_extent(batch, 2 * outputs)
    scale = mean_abs(z_BO).tanh_()
    bits_MBb = torch.empty(1, batch, packed_width(outputs), dtype=torch.uint8)
    pack_signs(z_BO, bits_MBb[0], rows)
    inside_Bb = torch.empty(batch if mask else 0, packed_width(outputs), dtype=torch.uint8)
    if mask:
        pack_open_unit(z_BO.abs_(), inside_Bb, rows)
    return Bits(bits_MBb, scale, inside_Bb, signed=True)
