"""Sums over whole tensors, compiled: in float64, without a copy, the same bits on every processor.

torch's norms and its batch statistics of rows add one float32 after the other: at 16 million
elements the sum of magnitudes is 2.5 % too small, at 64 million by a half; a variance over 78,400
rows is 1e-5 off. Its ``sum`` and ``var`` are exact enough, but one does not take magnitudes on the
way, and the other takes ten times as long. Here several sums in float64 run side by side, in an
order that is part of the code and not left to the compiler; the relative error is that of rounding
the result.

Shape suffixes: N elements, R rows, J columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.compiled import compiled

LANES = 16
"""Sums of a whole tensor that run side by side: element k belongs to sum k modulo this."""

COLUMNS = 8
"""Columns that are summed side by side, each row by row."""


@intrinsic  # type: ignore[untyped-decorator]
def _sum_lanes(context: Any, values_N: Any) -> Any:  # pragma: no cover  (runs in the compiler)
    """Sum of the magnitudes of the first N - N % LANES elements, as float64."""
    double = ir.DoubleType()
    narrow, wide = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(double, LANES)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, arguments[0])
        (count,) = cgutils.unpack_tuple(builder, array.shape)
        magnitude = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(narrow, [narrow]), f"llvm.fabs.v{LANES}f32"
        )
        sums = cgutils.alloca_once_value(builder, ir.Constant(wide, [0.0] * LANES))
        zero, step = ir.Constant(count.type, 0), ir.Constant(count.type, LANES)
        whole = builder.and_(count, ir.Constant(count.type, -LANES))
        with cgutils.for_range_slice(builder, zero, whole, step) as (at, _):
            address = builder.bitcast(builder.gep(array.data, [at]), narrow.as_pointer())
            some = builder.load(address)
            some.align = 4
            addend = builder.fpext(builder.call(magnitude, [some]), wide)
            builder.store(builder.fadd(builder.load(sums), addend), sums)
        lanes, total = builder.load(sums), ir.Constant(double, 0.0)
        for lane in range(LANES):
            one = builder.extract_element(lanes, ir.Constant(ir.IntType(32), lane))
            total = builder.fadd(total, one)
        return total

    return types.float64(values_N), generate


@compiled("void(float32[::1], float32[::1])", nogil=True)
def sum_abs(values_N: Any, out: Any) -> None:  # pragma: no cover  (compiled)
    """Sum of magnitudes, written to the only element of ``out``."""
    total = _sum_lanes(values_N)
    for i in range(len(values_N) // LANES * LANES, len(values_N)):
        total += abs(values_N[i])
    out[0] = total


def _column_block(*, centred: bool = False, squared: bool = False) -> Any:
    """An intrinsic: sums over all rows in ``COLUMNS`` columns, divided, written as float32."""

    @intrinsic  # type: ignore[untyped-decorator]
    def block(  # noqa: PLR0917
        context: Any, values_RJ: Any, column: Any, center_J: Any, divisor: Any, out_J: Any
    ) -> Any:  # pragma: no cover  (runs in the compiler)
        double = ir.DoubleType()
        narrow, wide = ir.VectorType(ir.FloatType(), COLUMNS), ir.VectorType(double, COLUMNS)

        def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, center, out = (
                target.make_array(signature.args[at])(target, builder, arguments[at])
                for at in (0, 2, 4)
            )
            rows, columns = cgutils.unpack_tuple(builder, values.shape)
            column, divisor = arguments[1], arguments[3]

            def load(base: Any, at: Any) -> Any:
                address = builder.bitcast(builder.gep(base, [at]), narrow.as_pointer())
                some = builder.load(address)
                some.align = 4
                return builder.fpext(some, wide)

            sums = cgutils.alloca_once(builder, wide)
            builder.store(ir.Constant(wide, [0.0] * COLUMNS), sums)
            middle = load(center.data, column)
            with cgutils.for_range(builder, rows) as loop:
                at = builder.add(builder.mul(loop.index, columns), column)
                addend = load(values.data, at)
                if centred:
                    addend = builder.fsub(addend, middle)
                if squared:
                    addend = builder.fmul(addend, addend)
                builder.store(builder.fadd(builder.load(sums), addend), sums)
            none = ir.Constant(wide, ir.Undefined)
            zero = ir.Constant(ir.IntType(32), 0)
            same = ir.Constant(ir.VectorType(ir.IntType(32), COLUMNS), [0] * COLUMNS)
            divisors = builder.insert_element(none, divisor, zero)
            divisors = builder.shuffle_vector(divisors, none, same)
            found = builder.fptrunc(builder.fdiv(builder.load(sums), divisors), narrow)
            address = builder.bitcast(builder.gep(out.data, [column]), narrow.as_pointer())
            builder.store(found, address).align = 4
            return target.get_dummy_value()

        return types.void(values_RJ, types.intp, center_J, types.float64, out_J), generate

    return block


_sum, _sum_squares = _column_block(), _column_block(squared=True)
_sum_distances = _column_block(centred=True, squared=True)


@compiled("void(float32[:,::1], float32[::1], float64, boolean, boolean, float32[::1])", nogil=True)
def columns(  # noqa: PLR0917
    values_RJ: Any, center_J: Any, divisor: Any, centred: Any, squared: Any, out_J: Any
) -> None:  # pragma: no cover  (compiled)
    """Sums over the rows, divided: of values or squares, or of squared distances from a center."""
    rows, columns = values_RJ.shape
    for block in range(0, columns if columns >= COLUMNS else 0, COLUMNS):
        first = min(block, columns - COLUMNS)  # the last block repeats some columns
        if centred:
            _sum_distances(values_RJ, first, center_J, divisor, out_J)
        elif squared:
            _sum_squares(values_RJ, first, center_J, divisor, out_J)
        else:
            _sum(values_RJ, first, center_J, divisor, out_J)
    for j in range(columns if columns < COLUMNS else 0):
        total = 0.0
        for r in range(rows):
            value = np.float64(values_RJ[r, j])
            if centred:
                value -= np.float64(center_J[j])
            total += value * value if squared else value
        out_J[j] = total / divisor
