"""Rounding to INT8, compiled with numba.

Compiled for one thread; nothing here allocates. Every result is defined element by element, so
that :mod:`trainfit.algorithms.numerics.int8.torch_kernels` gives the same bits.

Shape suffixes: R rows, C columns.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled

_U32 = np.uint32
_F32 = np.float32


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def uniform(index: Any, low: Any, high: Any) -> Any:  # pragma: no cover  (compiled)
    """The pseudo-random number of an element: 2^16 values, uniform between 0 and 1.

    Two rounds of multiplying and folding, with multipliers found by Wellons's search (2018). The
    upper 16 bits and one half become the fraction of a number between 1 and 2, which is exact and
    takes fewer instructions than a conversion.
    """
    x = _U32(index + low)
    x = _U32((x ^ (x >> _U32(16))) * _U32(0x7FEB352D))
    x = _U32((x ^ (x >> _U32(15)) ^ high) * _U32(0x846CA68B))
    bits = np.int32(((x >> _U32(9)) & _U32(0x7FFF80)) | _U32(0x3F800040))
    return bits.view(np.float32) - _F32(1.0)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def clipped(value: Any) -> Any:  # pragma: no cover  (compiled)
    """A whole number as INT8, clipped to [-127, 127]."""
    return np.int8(min(max(value, _F32(-127.0)), _F32(127.0)))


@compiled(
    "void(float32[:,::1], int8[:,::1], float32[::1], intp, boolean, uint32, uint32)",
    nogil=True,
)
def quantise_rows(  # noqa: PLR0917
    t_RC: Any, q_RC: Any, inverse: Any, axis: Any, stochastic: Any, low: Any, high: Any
) -> None:  # pragma: no cover  (compiled)
    """``q = clip(round(t * inverse))``; an inverse per row (axis 0), per column (1), or for all."""
    rows, columns = t_RC.shape
    for r in range(rows):
        t_C, q_C = t_RC[r], q_RC[r]
        own = inverse[r] if axis == 0 else inverse[0]
        index = _U32(r * columns)
        if axis == 1 and stochastic:
            for c in range(columns):
                u = uniform(index, low, high)
                q_C[c] = clipped(np.floor(t_C[c] * inverse[c] + u))
                index = _U32(index + _U32(1))
        elif axis == 1:
            for c in range(columns):
                q_C[c] = clipped(np.rint(t_C[c] * inverse[c]))
        elif stochastic:
            for c in range(columns):
                u = uniform(index, low, high)
                q_C[c] = clipped(np.floor(t_C[c] * own + u))
                index = _U32(index + _U32(1))
        else:
            for c in range(columns):
                q_C[c] = clipped(np.rint(t_C[c] * own))
