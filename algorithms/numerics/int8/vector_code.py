"""Blocks of INT8 products as vector code, for the inner loops of :mod:`.product_kernels`.

Compilers turn a plain loop over INT8 into multiplications of 32-bit integers. Written as below,
with LLVM's vectors, a block of products becomes multiplications of 16-bit integers whose results
are added in pairs into 32 bits (``vpmaddwd`` on x86, at twice the rate of float32), and the sums of
several rows and columns stay in registers. The code is the same on every processor; those with a
dot product of four bytes use it for what is no whole register of :mod:`.byte_code`.

numba recompiles a cached function only when the function's own file changes: after a change here,
touch :mod:`.product_kernels` and the modules that are compiled with it.

Shape suffixes: B batch, K the dimension that is summed over, N columns, P pairs of summed rows.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS

LANES = 16
"""Elements that are multiplied at once."""

DOT_ROWS, DOT_COLUMNS = 4, 2
"""A block of dot products: their eight sums and six operands fill the registers of AVX2."""

_I8, _I16, _I32 = (ir.IntType(bits) for bits in (8, 16, 32))


def _vector(element: Any, count: int) -> Any:  # pragma: no cover  (runs in the compiler)
    return ir.VectorType(element, count)


def _indices(numbers: Any) -> Any:  # pragma: no cover  (as above)
    return ir.Constant(ir.VectorType(_I32, len(list(numbers))), list(numbers))


def _load_bytes(builder: Any, address: Any) -> Any:  # pragma: no cover  (as above)
    """Sixteen INT8 from anywhere."""
    bytes_16 = builder.load(builder.bitcast(address, _vector(_I8, LANES).as_pointer()))
    bytes_16.align = 1
    return bytes_16


def _load_words(builder: Any, address: Any) -> Any:  # pragma: no cover  (as above)
    """Sixteen INT16 from anywhere."""
    words_16 = builder.load(builder.bitcast(address, _vector(_I16, LANES).as_pointer()))
    words_16.align = 2
    return words_16


def _widen(builder: Any, bytes_16: Any) -> Any:  # pragma: no cover  (as above)
    return builder.sext(bytes_16, _vector(_I16, LANES))


def _add_pairs(builder: Any, left: Any, right: Any) -> Any:  # pragma: no cover  (as above)
    """Sixteen products of INT16, neighbours added: eight INT32."""
    wide = _vector(_I32, LANES)
    product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    none = ir.Constant(wide, ir.Undefined)
    even = builder.shuffle_vector(product, none, _indices(range(0, LANES, 2)))
    odd = builder.shuffle_vector(product, none, _indices(range(1, LANES, 2)))
    return builder.add(even, odd)


class _Sums:  # pragma: no cover  (as above)
    """Vectors of eight INT32 that stay in registers."""

    def __init__(self, builder: Any, count: int) -> None:
        self._builder = builder
        kind = _vector(_I32, LANES // 2)
        self._places = [
            cgutils.alloca_once(builder, kind, name=f"sum{number}") for number in range(count)
        ]
        for place in self._places:
            builder.store(ir.Constant(kind, [0] * (LANES // 2)), place)

    def add(self, number: int, addend: Any) -> None:
        place = self._places[number]
        self._builder.store(self._builder.add(self._builder.load(place), addend), place)

    def value(self, number: int) -> Any:
        return self._builder.load(self._places[number])


def _matrix(
    target: Any, builder: Any, kind: Any, value: Any
) -> tuple[Any, Any, Any]:  # pragma: no cover  (as above)
    """Address, rows and columns of a C-contiguous matrix."""
    array = target.make_array(kind)(target, builder, value)
    rows, columns = cgutils.unpack_tuple(builder, array.shape)
    return array.data, rows, columns


@intrinsic  # type: ignore[untyped-decorator]
def dot_block(  # noqa: PLR0917
    context: Any, h_BK: Any, w_NK: Any, z: Any, row: Any, column: Any, place: Any
) -> Any:  # pragma: no cover  (as above)
    """Dot products of ``DOT_ROWS`` rows of h, from ``row``, and ``DOT_COLUMNS`` rows of w.

    h is INT16 with values of INT8, w INT8. The results go to the rows of z from ``place`` on, in
    the columns from ``column`` on. K must be at least ``LANES``.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (h, _, inner), (w, _, _), (out, _, width) = (
            _matrix(target, builder, kind, value)
            for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
        )
        whole_type = inner.type
        row, column, place = arguments[3:]

        def number(n: int) -> Any:
            return ir.Constant(whole_type, n)

        def start(base: Any, first: Any, offset: int, stride: Any) -> Any:
            return builder.gep(base, [builder.mul(builder.add(first, number(offset)), stride)])

        rows = [start(h, row, r, inner) for r in range(DOT_ROWS)]
        columns = [start(w, column, c, inner) for c in range(DOT_COLUMNS)]
        sums = _Sums(builder, DOT_ROWS * DOT_COLUMNS)

        def accumulate(at: Any, mask: Any = None) -> None:
            right = [_widen(builder, _load_bytes(builder, builder.gep(p, [at]))) for p in columns]
            for r in range(DOT_ROWS):
                left = _load_words(builder, builder.gep(rows[r], [at]))
                if mask is not None:
                    left = builder.and_(left, mask)
                for c in range(DOT_COLUMNS):
                    sums.add(r * DOT_COLUMNS + c, _add_pairs(builder, left, right[c]))

        whole = builder.and_(inner, number(-LANES))
        with cgutils.for_range_slice(builder, number(0), whole, number(LANES)) as (at, _):
            accumulate(at)
        rest = builder.sub(inner, whole)
        with builder.if_then(builder.icmp_signed(">", rest, number(0))):
            # The last LANES elements, without those that are summed already.
            lanes = _vector(_I16, LANES)
            none = ir.Constant(lanes, ir.Undefined)
            done = builder.trunc(builder.sub(number(LANES), rest), _I16)
            done = builder.insert_element(none, done, ir.Constant(_I32, 0))
            done = builder.shuffle_vector(done, none, _indices([0] * LANES))
            new = builder.icmp_signed(">=", ir.Constant(lanes, list(range(LANES))), done)
            accumulate(builder.sub(inner, number(LANES)), builder.sext(new, lanes))
        reduce_add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_I32, [_vector(_I32, LANES // 2)]),
            "llvm.vector.reduce.add.v8i32",
        )
        for r in range(DOT_ROWS):
            line = builder.gep(start(out, place, r, width), [column])
            for c in range(DOT_COLUMNS):
                total = builder.call(reduce_add, [sums.value(r * DOT_COLUMNS + c)])
                builder.store(total, builder.gep(line, [number(c)]))
        return target.get_dummy_value()

    return types.void(h_BK, w_NK, z, types.intp, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def spread_block(  # noqa: PLR0917
    context: Any, pairs_RP: Any, b_KN: Any, out: Any, column: Any, place: Any
) -> Any:  # pragma: no cover  (as above)
    """``SPREAD_ROWS`` rows of ``a b`` in ``LANES`` columns from ``column`` on.

    ``pairs_RP`` holds a two at a time: ``a[r, 2p]`` in the low half of an INT32, ``a[r, 2p + 1]``
    in the high half, 0 where a has no such column. The results go to the rows of ``out`` from
    ``place`` on. N must be at least ``LANES``.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (pairs, _, count), (b, inner, width), (out, _, out_width) = (
            _matrix(target, builder, kind, value)
            for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
        )
        column, place = arguments[3:]
        whole_type = width.type

        def number(n: int) -> Any:
            return ir.Constant(whole_type, n)

        halves = LANES // 2
        sums = _Sums(builder, SPREAD_ROWS * 2)
        splat = ir.Constant(_vector(_I32, halves), ir.Undefined)
        last = builder.sub(inner, number(1))
        with cgutils.for_range(builder, count) as loop:
            upper = builder.shl(loop.index, number(1))
            lower = builder.add(upper, number(1))
            is_last = builder.icmp_signed(">", lower, last)
            lower = builder.select(is_last, last, lower)  # meets a 0 then
            above, below = (
                _load_bytes(builder, builder.gep(b, [builder.add(builder.mul(k, width), column)]))
                for k in (upper, lower)
            )
            interleaved = [
                _widen(
                    builder,
                    builder.shuffle_vector(
                        above,
                        below,
                        _indices([k for n in range(first, first + halves) for k in (n, n + LANES)]),
                    ),
                )
                for first in (0, halves)
            ]
            for r in range(SPREAD_ROWS):
                at = builder.add(builder.mul(number(r), count), loop.index)
                pair = builder.insert_element(
                    splat, builder.load(builder.gep(pairs, [at])), ir.Constant(_I32, 0)
                )
                pair = builder.shuffle_vector(pair, splat, _indices([0] * halves))
                pair = builder.bitcast(pair, _vector(_I16, LANES))
                for half in range(2):
                    sums.add(2 * r + half, _add_pairs(builder, pair, interleaved[half]))
        for r in range(SPREAD_ROWS):
            line = builder.add(builder.mul(builder.add(place, number(r)), out_width), column)
            for half in range(2):
                address = builder.gep(out, [builder.add(line, number(half * halves))])
                store = builder.store(
                    sums.value(2 * r + half),
                    builder.bitcast(address, _vector(_I32, halves).as_pointer()),
                )
                store.align = 4
        return target.get_dummy_value()

    return types.void(pairs_RP, b_KN, out, types.intp, types.intp), generate
