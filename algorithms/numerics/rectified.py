"""Descent on a gradient ``left^T right`` whose left factor comes out of a rectifier.

Half of a layer's outputs are zero when it is drawn, nine tenths and more when Forward-Forward has
trained it. The compiled kernel skips what they would add, and moves the parameter while its
momentum is at hand. Where many entries are not zero BLAS is faster, and is used.

The kernel adds up in the order of the rows, with one rounding per row; so does BLAS with momentum
and up to a hundred rows or so, and gives the same bits. With more rows, or without momentum, BLAS
has an order of its own, and the two differ by roundings. A zero is skipped whatever stands on the
right, even an infinity.

Shape suffixes: K the dimension that is summed over, O rows of the parameter, I columns.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.lazy_kernels import rectified_kernel
from trainfit.algorithms.numerics.optimisers import Optimiser, Sgd

DENSE = 0.25
"""Share of entries that are not zero from which BLAS is used.

One core of an AVX-512 machine, (100, 2000) and (100, 2000), with the step: BLAS takes 11 ms, the
kernel 7 at a tenth, 11 to 15 at three tenths.
"""

_ROWS = 8  # a multiple of the kernel's own, so that no two threads share a block


def apply_rectified(
    optimiser: Optimiser,
    name: str,
    parameter_OI: torch.Tensor,
    left_KO: torch.Tensor,
    right_KI: torch.Tensor,
) -> None:
    """``optimiser.apply_product(name, parameter, left^T, right)`` for many zeros in ``left``.

    Args:
        optimiser: One other than plain SGD or SGD with momentum does as it always does.
        name: The parameter's.
        parameter_OI: float32 on the CPU, contiguous.
        left_KO: Gradient of the outputs; unchanged.
        right_KI: Inputs; unchanged.
    """
    if (
        not isinstance(optimiser, Sgd)
        or getattr(optimiser, "nesterov", False)
        or not (left_KO.is_contiguous() and right_KI.is_contiguous())
        or rectified_kernel.count_nonzero(left_KO.numpy()) > DENSE * left_KO.numel()
    ):
        optimiser.apply_product(name, parameter_OI, left_KO.T, right_KI)
        return
    decay = getattr(optimiser, "weight_decay", 0.0)
    momentum_OI = dict(optimiser.states()).get(f"{name}.momentum")
    if momentum_OI is None:
        moves, target_OI = False, parameter_OI
        numbers = (1.0 - optimiser.lr * decay, -optimiser.lr, 0.0, 0.0)
    else:
        moves, target_OI = True, momentum_OI
        numbers = (optimiser.momentum, 1.0, decay, -optimiser.lr)
    outputs, inputs = parameter_OI.shape
    parts = threads.parts_of(outputs, _ROWS, outputs * inputs * len(left_KO))
    threads.call(
        rectified_kernel.descend_rows,
        parts,
        (left_KO, right_KI, target_OI, parameter_OI),
        [()] * len(parts),
        (numbers, moves),
    )
