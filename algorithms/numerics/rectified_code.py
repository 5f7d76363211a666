"""The inner blocks of products with many zeros on the left, as vector code.

The sums of some columns stay in registers while the entries of the left factor that are not zero go
by; then the target, and the parameter that it moves, are read and written once. numba recompiles a
cached function only when the function's own file changes: after a change here, touch
:mod:`.rectified_kernel`.

Shape suffixes: K the dimension that is summed over, O rows of the target, I columns.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""Elements that are multiplied at once."""

WIDE = 4
"""Vectors of a wide block: with AVX2, their sums take half of the registers."""

WHOLE = ir.IntType(64)
_SINGLE = ir.FloatType()


class Vectors:  # pragma: no cover  (runs in the compiler)
    """Code for vectors of float32 anywhere in memory."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self._builder = builder
        self._lanes = lanes
        self.kind = ir.VectorType(_SINGLE, lanes)
        self.zeros = ir.Constant(self.kind, [0.0] * lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a b + c`` with one rounding."""
        function = cgutils.get_or_insert_function(
            self._builder.module,
            ir.FunctionType(self.kind, [self.kind] * 3),
            f"llvm.fma.v{self._lanes}f32",
        )
        return self._builder.call(function, [a, b, c])

    def splat(self, value: Any) -> Any:
        """The same value in every lane."""
        none = ir.Constant(self.kind, ir.Undefined)
        one = self._builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(one, none, [0] * self._lanes)

    def shuffle(self, a: Any, b: Any, chosen: list[int]) -> Any:
        """Elements of a, then of b, by number."""
        indices = ir.Constant(ir.VectorType(ir.IntType(32), self._lanes), chosen)
        return self._builder.shuffle_vector(a, b, indices)

    def load(self, base: Any, number: int) -> Any:
        """The vector that ``number`` others precede."""
        vector = self._builder.load(self._place(base, number))
        vector.align = 4
        return vector

    def store(self, value: Any, base: Any, number: int) -> None:
        """Write what ``load`` reads."""
        self._builder.store(value, self._place(base, number)).align = 4

    def _place(self, base: Any, number: int) -> Any:
        at = self._builder.gep(base, [ir.Constant(WHOLE, number * self._lanes)])
        return self._builder.bitcast(at, self.kind.as_pointer())


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def stack(context: Any, count: Any) -> Any:  # pragma: no cover  (runs in the compiler)
    """Room for ``count`` INT64 on the stack; a literal."""
    number = count.literal_value

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return cgutils.alloca_once(builder, WHOLE, size=ir.Constant(WHOLE, number))

    return types.CPointer(types.int64)(count), generate  # type: ignore[attr-defined]


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def stack_of_floats(context: Any, count: Any) -> Any:  # pragma: no cover  (as above)
    """Room for ``count`` float32 on the stack; a literal."""
    number = count.literal_value

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return cgutils.alloca_once(builder, _SINGLE, size=ir.Constant(WHOLE, number))

    return types.CPointer(types.float32)(count), generate  # type: ignore[attr-defined]


def _block(lanes: int, vectors: int) -> Any:
    """An intrinsic for ``vectors`` vectors of a row; see ``wide_block``."""

    @intrinsic  # type: ignore[untyped-decorator]
    def block(  # noqa: PLR0917
        context: Any,
        right_KI: Any,
        target_OI: Any,
        parameter_OI: Any,
        offsets: Any,
        values: Any,
        first: Any,
        count: Any,
        row: Any,
        column: Any,
        numbers: Any,
        last: Any,
    ) -> Any:  # pragma: no cover  (runs in the compiler)
        def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            right, into, moved, offset_data, value_data = (
                target.make_array(kind)(target, builder, value)
                for kind, value in zip(signature.args[:5], arguments[:5], strict=True)
            )
            first, count, row, column = arguments[5:9]
            code = Vectors(builder, lanes)
            keep, decay, rate = (
                code.splat(builder.extract_value(arguments[9], n)) for n in range(3)
            )
            sums = [cgutils.alloca_once(builder, code.kind) for _ in range(vectors)]
            for place in sums:
                builder.store(code.zeros, place)
            start = builder.gep(right.data, [column])
            with cgutils.for_range(builder, count) as loop:
                at = [builder.add(first, loop.index)]
                value = code.splat(builder.load(builder.gep(value_data.data, at)))
                source = builder.gep(start, [builder.load(builder.gep(offset_data.data, at))])
                for number, place in enumerate(sums):
                    total = code.fma(value, code.load(source, number), builder.load(place))
                    builder.store(total, place)
            width = cgutils.unpack_tuple(builder, into.shape)[1]
            at = [builder.add(builder.mul(row, width), column)]
            out, parameter = builder.gep(into.data, at), builder.gep(moved.data, at)
            for number, place in enumerate(sums):
                kept = builder.fmul(keep, code.load(out, number))
                code.store(builder.fadd(builder.load(place), kept), out, number)
            with builder.if_then(target.cast(builder, arguments[10], last, types.boolean)):
                for number in range(vectors):
                    old = code.load(parameter, number)
                    direction = code.fma(decay, old, code.load(out, number))
                    code.store(direction, out, number)
                    code.store(code.fma(rate, direction, old), parameter, number)
            return target.get_dummy_value()

        arrays = (right_KI, target_OI, parameter_OI, offsets, values)
        return types.none(*arrays, first, count, row, column, numbers, last), generate

    return block


wide_block = _block(LANES, WIDE)
"""``WIDE LANES`` columns of one row of the target, from ``column`` on::

    target <- keep target + sum_k values[first + k] right[offsets[first + k] + column ...]
    target <- target + decay parameter;  parameter <- parameter + rate target       (if ``last``)

``offsets`` into ``right_KI`` are ``count``; ``numbers`` is (keep, decay, rate) in float32.
"""

narrow_block = _block(LANES, 1)
"""The same for ``LANES`` columns."""

single_block = _block(1, 1)
"""The same for one column."""
