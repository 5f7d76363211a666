"""Symmetric uniform quantisation to INT8 (SUQ), and the random numbers of its rounding.

With a clipping value m, ``s = m / 127`` and ``q = clip(round(t / s), -127, 127)``, so that
``t = s q`` up to rounding; unless given, m is the largest magnitude of the elements that share the
scale. Rounding is to the nearest (halves to even), or stochastic: ``floor(t / s + u)`` with u
uniform in (0, 1), which is unbiased (Gupta et al. 2015).

Nothing here makes a float copy of a matrix. The random number of an element is a hash of the seed
and of the element's index in its tensor (rows times columns, counted from 0): the same seed gives
the same bits for every tiling, and in both kernels. It has 2^16 values; their sums with integers
below 128 are exact in float32, so integers stay unchanged. ``1 / s`` is computed once, then
multiplied.

Shape suffixes: R rows, C columns.
"""

from __future__ import annotations

import torch

from trainfit.algorithms.numerics.int8 import torch_kernels as int8_torch
from trainfit.algorithms.numerics.lazy_kernels import int8_rounding_kernels
from trainfit.algorithms.numerics.operators import operator
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.algorithms.phases import Category, tag

LEVELS = 127
"""INT8 is used from -127 to 127, so that every value can be negated."""

_SMALLEST = 2.0**-126
"""Smaller scales have no inverse in float32; their values are rounded to 0."""


# ---- random numbers -------------------------------------------------------------------------


def draw_seed(generator: torch.Generator) -> int:
    """A 64-bit seed for one step, from the algorithm's own generator."""
    drawn = torch.empty((), dtype=torch.int64, device="cpu")
    return int(drawn.random_(generator=generator))


def nth_seed(seed: int, number: int) -> int:
    """A seed for the ``number``-th tensor that is rounded in a step (SplitMix64, Steele 2014)."""
    mask = (1 << 64) - 1
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def words(seed: int) -> tuple[int, int]:
    """The two 32-bit keys of a tensor's random numbers; all depend on every bit of the seed."""
    mixed = nth_seed(seed, 0)
    return mixed & 0xFFFFFFFF, mixed >> 32


# ---- scales ---------------------------------------------------------------------------------


def scale_of(t_RC: torch.Tensor, axis: int | None = None) -> torch.Tensor:
    """``s = max abs(t) / 127`` without a copy of t.

    Args:
        t_RC: float32.
        axis: None for one scale, shape (1,); 0 for one per row, shape (R,); 1 for one per
            column, shape (C,).
    """
    dims = (0, 1) if axis is None else (1 - axis,)
    scale = t_RC.amax(dims)
    low = t_RC.amin(dims).neg_()
    torch.maximum(scale, low, out=scale)
    del low  # before the division allocates its two numbers
    return scale.div_(LEVELS).view(-1)


def _scales(rows: int, columns: int, axis: int | None) -> int:
    return 1 if axis is None else (rows, columns)[axis]


# ---- quantising -----------------------------------------------------------------------------


def quantise(
    t: torch.Tensor,
    *,
    rounding: Rounding,
    seed: int = 0,
    clip: float | None = None,
    axis: int | None = None,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric uniform quantisation.

    Args:
        t: float32, contiguous, a matrix or a vector; finite.
        rounding: To the nearest, or stochastic.
        seed: 64 bits, for stochastic rounding only; see ``draw_seed`` and ``nth_seed``.
        clip: The magnitude that becomes 127, above 0; None for the largest magnitude.
        axis: None for one scale, 0 for one per row, 1 for one per column (vectors have one).
        kernel: Implementation; no influence on the result.

    Returns:
        q, int8, of the shape of t; scale, float32, of shape (1,), (R,) or (C,).
    """
    t_RC = t if t.dim() > 1 else t[None]
    if clip is None:
        scale = scale_of(t_RC, axis)
    else:
        scale = torch.full((_scales(len(t_RC), t_RC.shape[1], axis),), clip / LEVELS)
    q = torch.empty(t.shape, dtype=torch.int8)
    quantise_into(t, q, scale, rounding=rounding, seed=seed, axis=axis, kernel=kernel)
    return q, scale


def quantise_into(
    t: torch.Tensor,
    q: torch.Tensor,
    scale: torch.Tensor,
    *,
    rounding: Rounding,
    seed: int = 0,
    axis: int | None = None,
    kernel: Int8Kernel = Int8Kernel.COMPILED,
) -> None:
    """``quantise`` with given scales, into given memory (int8, contiguous)."""
    t_RC, q_RC = (t, q) if t.dim() > 1 else (t[None], q[None])
    stochastic = rounding is Rounding.STOCHASTIC
    way = -1 if axis is None else axis
    low, high = words(seed)
    inverse = tag(scale.clamp(min=_SMALLEST), Category.WORKSPACE, "1 / s").reciprocal_()
    if kernel is Int8Kernel.TORCH:
        int8_torch.quantise_rows(
            t_RC.detach(), q_RC, inverse, way, stochastic=stochastic, low=low, high=high
        )
        return
    quantise_rows(t_RC.detach(), q_RC, inverse, way, stochastic, low, high)


@operator(
    "int8_quantise(Tensor t_RC, Tensor(a!) q_RC, Tensor inverse, int axis, bool stochastic,"
    " int low, int high) -> ()"
)
def quantise_rows(  # noqa: PLR0917
    t_RC: torch.Tensor,
    q_RC: torch.Tensor,
    inverse: torch.Tensor,
    axis: int,
    stochastic: bool,
    low: int,
    high: int,
) -> None:
    """``q = clip(round(t * inverse))``, the rounding of ``quantise_into``.

    Args:
        t_RC: float32, contiguous.
        q_RC: int8, contiguous.
        inverse: float32, ``1 / s``.
        axis: 0 for an inverse per row, 1 for one per column, -1 for one.
        stochastic: Rounding takes random numbers.
        low: Their key, see ``words``.
        high: The same.
    """
    operands = t_RC.numpy(), q_RC.numpy(), inverse.numpy()
    int8_rounding_kernels.quantise_rows(*operands, axis, stochastic, low, high)
