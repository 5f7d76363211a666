"""PEPITA's binary activations: dropped units, and the difference of the two passes.

For a layer's z, with s = mean(abs(z)) and the same units dropped in both passes::

    h_l = s / keep 1[z_l > 0 and kept]       h'_l = s' / keep 1[z'_l > 0 and kept]

s is the mean over all units, including dropped ones, since binarisation comes before dropout. Even
where both passes have the same bits the difference is not 0, since each pass has its own scale. It
is computed only for some outputs at a time, those whose weights are updated next.

Exact ties are frequent: sums of signs with one scale cancel, and there is no bias, so that 2.5 % of
the pre-activations of TinyFoA's 784-2000x3 are exactly 0. Here sums of bits are integers, a tie is
0 and its unit off. A product of floats, as in the authors' code, rounds, and calls 36.6 % of the
ties positive: the same equations give other activations there.

Shape suffixes: B batch, O outputs of a layer, T outputs of a tile.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.binary.activations import (
    Bits,
    binarise,
    mean_abs,
    unpack_tile,
)
from trainfit.algorithms.numerics.dropout import Dropout


def binarise_dropped(z_BO: torch.Tensor, dropout: Dropout | None, number: int) -> Bits:
    """Activations of layer ``number``, some dropped.

    Args:
        z_BO: Pre-activation, contiguous; overwritten.
        dropout: Decides which ones; None outside training.
        number: Index of the tensor in the step.
    """
    if dropout is None:
        return binarise(z_BO, mask=False)
    scale = mean_abs(z_BO).mul_(1.0 / dropout.keep)
    return binarise(dropout.apply_(z_BO, number), mask=False, scale=scale)


def difference(h: Bits, m: Bits, outputs: slice) -> torch.Tensor:
    """``(h - h') / B`` of some outputs, shape (B, T).

    Args:
        h: Activations of the standard pass.
        m: Activations of the modulated pass.
        outputs: The outputs, starting at a whole byte.
    """
    h_BT = unpack_tile(h, 0, outputs).mul_(h.scale)
    h_BT.addcmul_(unpack_tile(m, 0, outputs), m.scale, value=-1.0)
    return h_BT.mul_(1.0 / len(h_BT))
