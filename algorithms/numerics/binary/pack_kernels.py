"""Comparisons of floats, packed into bits in the same pass: no bool for every float exists.

The bits are those of :mod:`trainfit.algorithms.numerics.binary.packing`, whose functions do the
same with torch's operators and a tile of bools. Sixteen floats are compared at a time.

Shape suffixes: R rows, C columns, b bytes of packed bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.compiled import compiled

_LANES = 16


@intrinsic  # type: ignore[untyped-decorator]
def _compare(
    context: Any, values_RC: Any, offset: Any, strict: Any, below: Any
) -> Any:  # pragma: no cover  (runs in the compiler)
    """Sixteen bits: ``v >= 0``; or ``v > 0`` if strict; and ``v < 1`` if below."""
    vector = ir.VectorType(ir.FloatType(), _LANES)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        values = builder.load(builder.bitcast(address, vector.as_pointer()))
        values.align = 4
        strict, below = arguments[2:]

        def against(comparison: str, number: float) -> Any:
            numbers = ir.Constant(vector, [number] * _LANES)
            return builder.fcmp_ordered(comparison, values, numbers)

        bits = builder.select(strict, against(">", 0.0), against(">=", 0.0))
        bits = builder.select(below, builder.and_(bits, against("<", 1.0)), bits)
        return builder.bitcast(bits, ir.IntType(_LANES))

    return types.uint16(values_RC, types.intp, types.boolean, types.boolean), generate


@compiled("void(float32[:,::1], intp, intp, uint8[:,::1], boolean, boolean)", nogil=True)
def pack(  # noqa: PLR0917
    values_RC: Any, first: Any, columns: Any, out_Rb: Any, strict: Any, below: Any
) -> None:  # pragma: no cover  (compiled)
    """Bits of ``v >= 0`` in ``columns`` columns from ``first`` on; flags as in ``_compare``."""
    stride, whole = values_RC.shape[1], columns // 16 * 16
    zero, one = np.float32(0.0), np.float32(1.0)
    for r in range(len(values_RC)):
        for c in range(0, whole, 16):
            bits = _compare(values_RC, r * stride + first + c, strict, below)
            out_Rb[r, c // 8] = np.uint8(bits & np.uint16(255))
            out_Rb[r, c // 8 + 1] = np.uint8(bits >> np.uint16(8))
        for start in range(whole, columns, 8):
            byte = 0
            for c in range(start, min(start + 8, columns)):
                v = values_RC[r, first + c]
                bit = v > zero if strict else v >= zero
                if bit and (v < one or not below):
                    byte |= 1 << (c - start)
            out_Rb[r, start // 8] = byte
