"""Adam in one compiled pass over the parameter: the bits of the tiled form without its workspace.

It rounds where torch's operators round on the tile: the moving averages use one fused multiply-add
after a difference, the root is the reciprocal of a reciprocal root (torch's own root is not rounded
to the nearest), and the factor is applied before the division. Fused multiply-adds are called
explicitly, so that they do not depend on the compiler.

Shape suffix: N elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.compiled import compiled


@intrinsic  # type: ignore[untyped-decorator]
def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:  # pragma: no cover  (runs in the compiler)
    """``a b + c`` with one rounding."""
    single = ir.FloatType()

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(single, [single] * 3), "llvm.fma.f32"
        )
        return builder.call(function, arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@compiled(
    "void(float32[::1], float32[::1], float32[::1], float32[::1], float32[::1], intp, intp)",
    nogil=True,
    error_model="numpy",
)
def descend(  # noqa: PLR0917
    p_N: Any, g_N: Any, m_N: Any, v_N: Any, numbers: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """The elements from ``start`` to ``stop``, with the numbers of ``adam_step`` in its order."""
    # Indices from 0 are known not to be negative; only then does the loop become vectors.
    p_N, g_N, m_N, v_N = (p_N[start:stop], g_N[start:stop], m_N[start:stop], v_N[start:stop])
    first, second, epsilon, rate = numbers[0], numbers[1], numbers[2], numbers[3]
    decay = numbers[4]
    for i in range(p_N.shape[0]):
        g = g_N[i]
        if decay != np.float32(0.0):
            g = _fma(decay, p_N[i], g)
        m = _fma(first, g - m_N[i], m_N[i])
        v = _fma(second, g * g - v_N[i], v_N[i])
        m_N[i] = m
        v_N[i] = v
        root = np.float32(1.0) / (np.float32(1.0) / np.sqrt(v))
        p_N[i] = p_N[i] + rate * m / (root + epsilon)
