"""Products whose left factor comes out of a rectifier, and descent on such a product.

Half of a layer's outputs are zero when it is drawn, nine tenths and more when Forward-Forward has
trained it. Compiled kernels skip what they would add, and descent moves the parameter while its
momentum is at hand. Where many entries are not zero BLAS is faster, and is used.

Descent adds up in the order of the rows, with one rounding per row; so does BLAS with momentum
and up to a hundred rows or so, and gives the same bits. With more rows, or without momentum, BLAS
has an order of its own, and the two differ by roundings. A zero is skipped whatever stands on the
right, even an infinity.

Shape suffixes: K the dimension that is summed over, O rows of the parameter, I columns; R rows.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics import threads
from trainfit.algorithms.numerics.lazy_kernels import rectified_kernel
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.numerics.optimisers import Optimiser, Sgd

DENSE = 0.25
"""Share of entries that are not zero from which BLAS is used.

One core of an AVX-512 machine, (100, 2000) and (100, 2000), with the step: BLAS takes 11 ms, the
kernel 7 at a tenth, 11 to 15 at three tenths.
"""

DENSE_LINEAR = 0.3
"""The same for ``linear_``: BLAS takes 10 ms, the kernel 4 at a tenth, 7 at three tenths, more if
the weights are not in the cache."""

_LANES, _BLOCK = 16, 64  # of the kernel
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
        optimiser: One other than SGD does as it always does, and so does SGD with Nesterov's
            momentum, or with weight decay and no momentum.
        name: The parameter's.
        parameter_OI: float32 on the CPU, contiguous.
        left_KO: Gradient of the outputs; unchanged.
        right_KI: Inputs; unchanged.
    """
    if (
        not isinstance(optimiser, Sgd)
        or optimiser.nesterov
        or (optimiser.weight_decay and not optimiser.momentum)
        or not (left_KO.is_contiguous() and right_KI.is_contiguous())
        or not mostly_zeros(left_KO, DENSE)
    ):
        optimiser.apply_product(name, parameter_OI, left_KO.T, right_KI)
        return
    momentum_OI = dict(optimiser.states()).get(f"{name}.momentum")
    if momentum_OI is None:
        add_rectified_product(left_KO, right_KI, parameter_OI, -optimiser.lr)
        return
    descend_rectified(
        left_KO,
        right_KI,
        momentum_OI,
        parameter_OI,
        optimiser.momentum,
        optimiser.weight_decay,
        optimiser.lr,
    )


def linear_(
    h_RI: torch.Tensor, w_OI: torch.Tensor, b_O: torch.Tensor | None, z_RO: torch.Tensor
) -> torch.Tensor:
    """``z = h w^T + b`` for many zeros in h, written to ``z_RO``.

    Args:
        h_RI: float32 on the CPU; unchanged.
        w_OI: Weights, contiguous.
        b_O: Biases, if there are any.
        z_RO: Result, contiguous.
    """
    outputs, inputs = w_OI.shape
    if (
        inputs % _LANES
        or outputs % _LANES
        or not h_RI.is_contiguous()
        or not mostly_zeros(h_RI, DENSE_LINEAR)
    ):
        if b_O is None:
            return torch.mm(h_RI, w_OI.T, out=z_RO)
        return torch.addmm(b_O, h_RI, w_OI.T, out=z_RO)
    rectified_linear(h_RI, w_OI, z_RO)
    return z_RO if b_O is None else z_RO.add_(b_O)


@operator("mostly_zeros(Tensor values_RC, float share) -> bool", on_meta=False)
def mostly_zeros(values_RC: torch.Tensor, share: float) -> bool:
    """Whether at most this share of the entries is not zero.

    On the meta device it is not, and torch's product is seen: like the compiled one it allocates
    nothing.

    Args:
        values_RC: float32, contiguous.
        share: Between 0 and 1.
    """
    count = rectified_kernel.count_nonzero(values_RC.numpy())
    return bool(count <= share * values_RC.numel())


@operator(
    "add_rectified_product(Tensor left_KO, Tensor right_KI, Tensor(a!) target_OI, float alpha)"
    " -> ()"
)
def add_rectified_product(
    left_KO: torch.Tensor, right_KI: torch.Tensor, target_OI: torch.Tensor, alpha: float
) -> None:
    """``target += alpha left^T right``; all are float32 and contiguous."""
    _descend(left_KO, right_KI, target_OI, target_OI, (1.0, alpha, 0.0, 0.0), moves=False)


@operator(
    "descend_rectified(Tensor left_KO, Tensor right_KI, Tensor(a!) momentum_OI,"
    " Tensor(b!) parameter_OI, float momentum, float weight_decay, float lr) -> ()"
)
def descend_rectified(  # noqa: PLR0917
    left_KO: torch.Tensor,
    right_KI: torch.Tensor,
    momentum_OI: torch.Tensor,
    parameter_OI: torch.Tensor,
    momentum: float,
    weight_decay: float,
    lr: float,
) -> None:
    """``m <- momentum m + left^T right + weight_decay p``, then ``p <- p - lr m``; as above."""
    numbers = (momentum, 1.0, weight_decay, -lr)
    _descend(left_KO, right_KI, momentum_OI, parameter_OI, numbers, moves=True)


def _descend(
    left_KO: torch.Tensor,
    right_KI: torch.Tensor,
    target_OI: torch.Tensor,
    parameter_OI: torch.Tensor,
    numbers: tuple[float, float, float, float],
    *,
    moves: bool,
) -> None:
    outputs, inputs = parameter_OI.shape
    parts = threads.parts_of(outputs, _ROWS, outputs * inputs * len(left_KO))
    threads.call(
        rectified_kernel.descend_rows,
        parts,
        (left_KO, right_KI, target_OI, parameter_OI),
        [()] * len(parts),
        (numbers, moves),
    )


@operator("rectified_linear(Tensor h_RI, Tensor w_OI, Tensor(a!) z_RO) -> ()")
def rectified_linear(h_RI: torch.Tensor, w_OI: torch.Tensor, z_RO: torch.Tensor) -> None:
    """``z = h w^T``; float32, contiguous, inputs and outputs multiples of sixteen."""
    outputs, inputs = w_OI.shape
    parts = threads.parts_of(outputs, _BLOCK, outputs * inputs * len(h_RI))
    operands = (h_RI, w_OI, z_RO)
    threads.call(rectified_kernel.linear_outputs, parts, operands, [()] * len(parts))
