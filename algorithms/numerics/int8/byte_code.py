"""Blocks of INT8 products with the processor's dot product of four bytes, where there is one.

``vpdpbusd`` (AVX-512 VNNI) multiplies 64 unsigned bytes by 64 signed ones and adds the products of
four neighbours to an INT32: twice the rate of :mod:`.vector_code`, and eight times that of float32.
One operand is unsigned, so 128 is added to it (its highest bit is flipped) and 128 times the sum of
the other one is taken off at the end. Nothing saturates, so the results are those of
:mod:`.vector_code` to the bit. After a change here, touch :mod:`.product_kernels` and the modules
that are compiled with it, as there.

Shape suffixes: B batch, K the dimension that is summed over, N columns, R rows, Q groups of four
summed elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.int8.blocks import SPREAD_ROWS

BYTES = 64
"""Bytes that are multiplied at once."""

DOT_ROWS, DOT_COLUMNS = 4, 4
"""A block of dot products: 16 sums, of 32 registers."""

_SUMS = BYTES // 4
_VECTORS = 4  # of columns that are summed at once by ``spread_columns``
_AHEAD = 8  # rows that are asked for before they are needed; of 0, 8 and 16 the fastest

_I8, _I32 = ir.IntType(8), ir.IntType(32)
_V64, _V16, _V4 = ir.VectorType(_I8, BYTES), ir.VectorType(_I32, _SUMS), ir.VectorType(_I32, 4)


def has_byte_dots() -> bool:
    """Whether numba compiles for a processor with ``vpdpbusd`` on 64 bytes."""
    chosen = numba.config.CPU_FEATURES
    if chosen is None:
        features = binding.get_host_cpu_features()
        needed = ("avx512f", "avx512bw", "avx512vl", "avx512vnni")
        return all(features.get(name, False) for name in needed)
    return {"+avx512f", "+avx512bw", "+avx512vl", "+avx512vnni"} <= set(chosen.split(","))


class _Code:  # pragma: no cover  (runs in the compiler)
    """A builder, with the few operations that the blocks below consist of."""

    def __init__(self, builder: Any, whole_type: Any) -> None:
        self.builder = builder
        self.whole_type = whole_type
        self.flip = ir.Constant(_V64, [-128] * BYTES)

    def number(self, n: int) -> Any:
        return ir.Constant(self.whole_type, n)

    def shuffle(self, left: Any, right: Any, places: Iterable[int]) -> Any:
        chosen = list(places)
        indices = ir.Constant(ir.VectorType(_I32, len(chosen)), chosen)
        return self.builder.shuffle_vector(left, right, indices)

    def spread(self, scalar: Any, vector: Any) -> Any:
        """A vector of equal elements."""
        none = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(none, scalar, ir.Constant(_I32, 0))
        return self.shuffle(one, none, [0] * vector.count)

    def address(self, base: Any, row: Any, stride: Any, column: Any) -> Any:
        at = self.builder.add(self.builder.mul(row, stride), column)
        return self.builder.gep(base, [at])

    def load(self, address: Any) -> Any:
        """64 bytes from anywhere."""
        loaded = self.builder.load(self.builder.bitcast(address, _V64.as_pointer()))
        loaded.align = 1
        return loaded

    def store(self, sums: Any, address: Any) -> None:
        pointer = self.builder.bitcast(address, sums.type.as_pointer())
        self.builder.store(sums, pointer).align = 4

    def add_dots(self, sums: Any, unsigned: Any, signed: Any) -> Any:
        dots = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(_V16, [_V16] * 3),
            "llvm.x86.avx512.vpdpbusd.512",
        )
        operands = [self.builder.bitcast(operand, _V16) for operand in (unsigned, signed)]
        return self.builder.call(dots, [sums, *operands])

    def places(self, count: int, kind: Any = _V16) -> list[Any]:
        """Variables that LLVM keeps in registers."""
        return [cgutils.alloca_once(self.builder, kind) for _ in range(count)]

    def accumulate(self, place: Any, unsigned: Any, signed: Any) -> None:
        sums = self.add_dots(self.builder.load(place), unsigned, signed)
        self.builder.store(sums, place)

    def folded(self, vector: Any, count: int) -> Any:
        """Neighbouring parts of a vector added until ``count`` elements are left."""
        none = ir.Constant(vector.type, ir.Undefined)
        size = vector.type.count
        while size > count:
            halves = range(size // 2), range(size // 2, size)
            lower, upper = (self.shuffle(vector, none, half) for half in halves)
            vector, size = self.builder.add(lower, upper), size // 2
            none = ir.Constant(vector.type, ir.Undefined)
        return vector

    def minus_128(self, total: Any) -> Any:
        """What the flipped bits have added to a sum."""
        return self.builder.mul(total, ir.Constant(_I32, -128))

    def interleaved(self, left: Any, right: Any, unit: int, lane: int) -> tuple[Any, Any]:
        """Units of two vectors in turns: the lower and the upper halves of every 128 bits."""
        size = left.type.count
        starts = [first + k for first in range(0, size, lane) for k in range(0, lane // 2, unit)]

        def in_turns(offset: int) -> Any:
            return self.shuffle(
                left,
                right,
                [
                    side + start + offset + k
                    for start in starts
                    for side in (0, size)
                    for k in range(unit)
                ],
            )

        return in_turns(0), in_turns(lane // 2)

    def totals(self, four: list[Any]) -> Any:
        """The sums of four vectors of 16, as a vector of four."""
        a, b, c, d = four
        ab = self.builder.add(*self.interleaved(a, b, 1, 4))
        cd = self.builder.add(*self.interleaved(c, d, 1, 4))
        return self.folded(self.builder.add(*self.interleaved(ab, cd, 2, 4)), 4)

    def blocks(self, stop: Any, step: int) -> Any:
        """Starts of blocks of ``step``; the last block is shifted inwards if it is not whole."""
        return cgutils.for_range_slice(self.builder, self.number(0), stop, self.number(step))

    def inwards(self, start: Any, step: int, stop: Any) -> Any:
        last = self.builder.sub(stop, self.number(step))
        return self.builder.select(self.builder.icmp_signed(">", start, last), last, start)


def _operands(
    target: Any, builder: Any, signature: Any, arguments: Any
) -> list[tuple[Any, Any, Any]]:  # pragma: no cover  (as above)
    """Address, rows and columns of three C-contiguous matrices."""
    found = []
    for kind, value in zip(signature.args[:3], arguments[:3], strict=True):
        array = target.make_array(kind)(target, builder, value)
        found.append((array.data, *cgutils.unpack_tuple(builder, array.shape)))
    return found


@intrinsic  # type: ignore[untyped-decorator]
def dot_columns(  # noqa: PLR0917
    context: Any, h_BK: Any, w_NK: Any, z: Any, row: Any, place: Any
) -> Any:  # pragma: no cover  (as above)
    """Dot products of ``DOT_ROWS`` rows of h, from ``row``, and all rows of w.

    h and w are INT8. The results go to the rows of z from ``place`` on. K must be at least
    ``BYTES`` and N at least ``DOT_COLUMNS``.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (h, _, inner), (w, columns, _), (out, _, width) = _operands(
            target, builder, signature, arguments
        )
        row, place = arguments[3:]
        code = _Code(builder, inner.type)
        number = code.number
        rows = [
            code.address(h, builder.add(row, number(r)), inner, number(0)) for r in range(DOT_ROWS)
        ]
        whole = builder.and_(inner, number(-BYTES))
        rest = builder.sub(inner, whole)
        last = builder.sub(inner, number(BYTES))
        # In the last BYTES elements, those that are not summed already.
        done = code.spread(builder.trunc(builder.sub(number(BYTES), rest), _I8), _V64)
        lanes = ir.Constant(_V64, list(range(BYTES)))
        new = builder.sext(builder.icmp_unsigned(">=", lanes, done), _V64)

        def left(r: int, at: Any, mask: Any) -> Any:
            loaded = code.load(builder.gep(rows[r], [at]))
            return loaded if mask is None else builder.and_(loaded, mask)

        def for_all(body: Callable[[Any, Any], None]) -> None:
            with code.blocks(whole, BYTES) as (at, _):
                body(at, None)
            with builder.if_then(builder.icmp_signed(">", rest, number(0))):
                body(last, new)

        ones = ir.Constant(_V64, [1] * BYTES)
        row_sums = code.places(DOT_ROWS)
        for sums in row_sums:
            builder.store(ir.Constant(_V16, [0] * _SUMS), sums)

        def add_rows(at: Any, mask: Any) -> None:
            for r, sums in enumerate(row_sums):
                code.accumulate(sums, ones, left(r, at, mask))

        for_all(add_rows)
        excess = []
        for sums in row_sums:
            total = code.folded(builder.load(sums), 1)
            total = builder.extract_element(total, ir.Constant(_I32, 0))
            excess.append(code.spread(code.minus_128(total), _V4))

        sums_RC = code.places(DOT_ROWS * DOT_COLUMNS)
        with code.blocks(columns, DOT_COLUMNS) as (start, _):
            first = code.inwards(start, DOT_COLUMNS, columns)
            lines = [
                code.address(w, builder.add(first, number(c)), inner, number(0))
                for c in range(DOT_COLUMNS)
            ]
            for sums in sums_RC:
                builder.store(ir.Constant(_V16, [0] * _SUMS), sums)

            def add_products(at: Any, mask: Any) -> None:
                right = [
                    builder.xor(code.load(builder.gep(line, [at])), code.flip) for line in lines
                ]
                for r in range(DOT_ROWS):
                    h_r = left(r, at, mask)
                    for c in range(DOT_COLUMNS):
                        code.accumulate(sums_RC[r * DOT_COLUMNS + c], right[c], h_r)

            for_all(add_products)
            for r in range(DOT_ROWS):
                own = sums_RC[r * DOT_COLUMNS : (r + 1) * DOT_COLUMNS]
                totals = builder.add(code.totals([builder.load(sums) for sums in own]), excess[r])
                to = code.address(out, builder.add(place, number(r)), width, first)
                code.store(totals, to)
        return target.get_dummy_value()

    return types.void(h_BK, w_NK, z, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def spread_columns(
    context: Any, fours_RQ: Any, b_KN: Any, out: Any, place: Any
) -> Any:  # pragma: no cover  (as above)
    """``SPREAD_ROWS`` rows of ``a b``.

    ``fours_RQ`` holds a four at a time in an INT32, ``a[r, 4q]`` in the lowest byte, 0 where a has
    no such column. The results go to the rows of ``out`` from ``place`` on. N must be at least
    ``BYTES``.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (fours, _, stride), (b, inner, columns), (out, _, width) = _operands(
            target, builder, signature, arguments
        )
        place = arguments[3]
        code = _Code(builder, inner.type)
        number = code.number
        groups = builder.sdiv(inner, number(4))
        used = builder.sdiv(builder.add(inner, number(3)), number(4))

        def four(r: int, q: Any) -> Any:
            return builder.load(code.address(fours, number(r), stride, q))

        row_sums = code.places(SPREAD_ROWS, _V4)
        for sums in row_sums:
            builder.store(ir.Constant(_V4, [0] * 4), sums)
        with cgutils.for_range(builder, used) as loop:
            for r, sums in enumerate(row_sums):
                own = builder.bitcast(four(r, loop.index), ir.VectorType(_I8, 4))
                builder.store(builder.add(builder.load(sums), builder.sext(own, _V4)), sums)
        excess = code.places(SPREAD_ROWS)
        for sums, to in zip(row_sums, excess, strict=True):
            total = code.folded(builder.load(sums), 1)
            total = builder.extract_element(total, ir.Constant(_I32, 0))
            builder.store(code.spread(code.minus_128(total), _V16), to)

        ask = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), *[_I32] * 3]),
            "llvm.prefetch.p0",
        )
        for_reading, often, data = (ir.Constant(_I32, n) for n in (0, 3, 1))
        sums_RV = code.places(SPREAD_ROWS * _VECTORS)
        with code.blocks(columns, BYTES) as (start, _):
            first = code.inwards(start, BYTES, columns)
            for r, own in enumerate(excess):
                for v in range(_VECTORS):
                    builder.store(builder.load(own), sums_RV[r * _VECTORS + v])

            def add_products(q: Any, rows: list[Any]) -> None:
                k0, k1, k2, k3 = (
                    builder.xor(code.load(code.address(b, k, columns, first)), code.flip)
                    for k in rows
                )
                low, high = code.interleaved(k0, k1, 1, 16), code.interleaved(k2, k3, 1, 16)
                vectors = [
                    vector
                    for pair in zip(low, high, strict=True)
                    for vector in code.interleaved(*pair, 2, 16)
                ]
                for r in range(SPREAD_ROWS):
                    a_r = code.spread(four(r, q), _V16)
                    for v, vector in enumerate(vectors):
                        code.accumulate(sums_RV[r * _VECTORS + v], vector, a_r)

            with cgutils.for_range(builder, groups) as loop:
                k = builder.mul(loop.index, number(4))
                add_products(loop.index, [builder.add(k, number(n)) for n in range(4)])
                for n in range(4):
                    later = code.address(b, builder.add(k, number(_AHEAD + n)), columns, first)
                    builder.call(ask, [later, for_reading, often, data])
            with builder.if_then(builder.icmp_signed("<", groups, used)):
                k, end = builder.mul(groups, number(4)), builder.sub(inner, number(1))
                rows = [builder.add(k, number(n)) for n in range(4)]
                rows = [  # a row that is not there meets a 0
                    builder.select(builder.icmp_signed(">", row, end), end, row) for row in rows
                ]
                add_products(groups, rows)

            for r in range(SPREAD_ROWS):
                own = sums_RV[r * _VECTORS : (r + 1) * _VECTORS]
                for v, sums in enumerate(_in_order(code, [builder.load(sums) for sums in own])):
                    column = builder.add(first, number(v * _SUMS))
                    code.store(
                        sums, code.address(out, builder.add(place, number(r)), width, column)
                    )
        return target.get_dummy_value()

    return types.void(fours_RQ, b_KN, out, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def four_by_four(
    context: Any, a_KR: Any, fours_RQ: Any, k: Any, first: Any
) -> Any:  # pragma: no cover  (as above)
    """Four rows of a from ``k`` on, in four columns from ``first`` on, for ``spread_columns``."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrices = [
            target.make_array(kind)(target, builder, value)
            for kind, value in zip(signature.args[:2], arguments[:2], strict=True)
        ]
        (a, columns), (fours, stride) = (
            (matrix.data, cgutils.unpack_tuple(builder, matrix.shape)[1]) for matrix in matrices
        )
        k, first = arguments[2:]
        code = _Code(builder, columns.type)
        rows = ir.Constant(_V4, ir.Undefined)
        for n in range(4):
            row = code.address(a, builder.add(k, code.number(n)), columns, first)
            word = builder.load(builder.bitcast(row, _I32.as_pointer()))
            word.align = 1
            rows = builder.insert_element(rows, word, ir.Constant(_I32, n))
        by_row = builder.bitcast(rows, ir.VectorType(_I8, 16))
        by_column = code.shuffle(by_row, by_row, [4 * n + c for c in range(4) for n in range(4)])
        by_column = builder.bitcast(by_column, _V4)
        q = builder.lshr(k, code.number(2))
        for c in range(4):
            four = builder.extract_element(by_column, ir.Constant(_I32, c))
            builder.store(four, code.address(fours, code.number(c), stride, q))
        return target.get_dummy_value()

    return types.void(a_KR, fours_RQ, types.intp, types.intp), generate


def _in_order(code: _Code, vectors: list[Any]) -> list[Any]:  # pragma: no cover  (as above)
    """64 sums in the order of their columns: a transposition of 4 by 4 groups of four.

    Interleaving works within 128 bits, so vector v holds the columns 16 l + 4 v to 16 l + 4 v + 3
    of every l.
    """

    def groups(left: Any, right: Any, chosen: tuple[int, ...]) -> Any:
        return code.shuffle(left, right, [4 * group + k for group in chosen for k in range(4)])

    a, b, c, d = vectors
    lower = groups(a, b, (0, 4, 1, 5)), groups(c, d, (0, 4, 1, 5))
    upper = groups(a, b, (2, 6, 3, 7)), groups(c, d, (2, 6, 3, 7))
    return [
        groups(*half, chosen) for half in (lower, upper) for chosen in ((0, 1, 4, 5), (2, 3, 6, 7))
    ]
