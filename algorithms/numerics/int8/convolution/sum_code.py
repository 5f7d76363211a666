"""Blocks of a convolution's sums as vector code.

A block is ``LANES`` by ``SCALARS`` sums that stay in registers: at every step four bytes of each
lane are multiplied by four bytes that are the same for all lanes, and the four products are added.
Going forward the lanes are places, and the four are channels; for the gradient of the weight they
are output channels, and the four are places. So no sum is left in parts that have to be added up at
the end.

With ``vpdpbusd`` (AVX-512 VNNI) a step is one instruction for 64 products. One of its operands is
unsigned: what comes from the maps has been stored with its highest bit flipped (``FLIP``), which
adds 128 to it, so 128 times the sum of the other operand has to be taken off. Elsewhere bytes
become multiplications of 16-bit integers, as in
:mod:`trainfit.algorithms.numerics.int8.vector_code`, and nothing is flipped. The sums are the same
to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.int8.convolution.code import (
    FLIP,
    I8,
    I16,
    I32,
    V16,
    Code,
    addresses,
)
from trainfit.algorithms.numerics.int8.convolution.sizes import LANES, SCALARS

_HALVES = 2
"""Sums of a lane that are made at once where products are of 16 bits."""


class _Steps:  # pragma: no cover  (as above)
    """What a block goes through: rows of groups, each with a vector and ``SCALARS`` numbers.

    Args:
        code: Writes instructions.
        vectors: Address of the first vector's 64 bytes.
        step: Bytes from a group's vector to that of the next one, also from row to row.
        scalar: Gives the address of the first number of a sum.
        rows, groups, pitch: Rows, groups of a row, and bytes from a row's numbers to the next's.
    """

    def __init__(  # noqa: PLR0917
        self, code: Code, vectors: Any, step: Any, scalar: Callable[[Any], Any],
        rows: Any, groups: Any, pitch: Any,
    ) -> None:  # fmt: skip
        self._code, self._vectors, self._step, self._scalar = code, vectors, step, scalar
        self._rows, self._groups, self._pitch = rows, groups, pitch

    def walk(self, numbers: list[Any], body: Callable[[Any, list[Any]], None]) -> None:
        """``body`` with the address of every vector and those of its numbers."""
        code, builder = self._code, self._code.builder
        addresses = [self._scalar(number) for number in numbers]
        with cgutils.for_range(builder, self._rows) as row:
            first = builder.mul(row.index, self._groups)
            along = builder.mul(row.index, self._pitch)
            starts = [builder.gep(address, [along]) for address in addresses]
            with cgutils.for_range(builder, self._groups) as group:
                at = builder.mul(builder.add(first, group.index), self._step)
                four = builder.shl(group.index, code.number(2))
                body(
                    builder.gep(self._vectors, [at]),
                    [builder.gep(start, [four]) for start in starts],
                )


def _sum_bytes(
    code: Code, steps: _Steps, unsigned_lanes: bool, finish: Callable[[Any, Any], None]
) -> None:  # pragma: no cover  (as above)
    """All sums at once, a vector of ``LANES`` for every number."""
    builder, zero = code.builder, code.number(0)
    numbers = [code.number(r) for r in range(SCALARS)]
    sums = code.sums(SCALARS, V16)
    dots = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(V16, [V16] * 3), "llvm.x86.avx512.vpdpbusd.512"
    )

    def body(vector: Any, scalars: list[Any]) -> None:
        lanes = code.load(vector, zero, V16)
        for place, scalar in zip(sums, scalars, strict=True):
            four = code.spread(code.load(scalar, zero, I32), LANES)
            pair = (lanes, four) if unsigned_lanes else (four, lanes)
            builder.store(builder.call(dots, [builder.load(place), *pair]), place)

    steps.walk(numbers, body)
    for number, place in zip(numbers, sums, strict=True):
        finish(number, builder.load(place))


def _sum_words(
    code: Code, steps: _Steps, unsigned_lanes: bool, finish: Callable[[Any, Any], None]
) -> None:  # pragma: no cover  (as above)
    """Two numbers at a time: neighbouring products of 16 bits are added to a half sum."""
    builder, zero = code.builder, code.number(0)
    quarter = ir.VectorType(I32, LANES // 2)  # of the lanes, in halves
    wide = ir.VectorType(I16, LANES)
    half_range = [list(range(first, LANES, 2)) for first in (0, 1)]
    parts = range(4)

    def products(left: Any, right: Any) -> Any:
        longer = ir.VectorType(I32, LANES)
        product = builder.mul(builder.sext(left, longer), builder.sext(right, longer))
        return builder.add(*(code.cut(product, half) for half in half_range))

    bounds = code.number(0), code.number(SCALARS), code.number(_HALVES)
    sums = code.sums(_HALVES * len(parts), quarter)
    with cgutils.for_range_slice(builder, *bounds) as (first, _):
        numbers = [builder.add(first, code.number(r)) for r in range(_HALVES)]
        for place in sums:
            builder.store(ir.Constant(quarter, [0] * quarter.count), place)

        def body(vector: Any, scalars: list[Any]) -> None:
            lanes = [
                builder.sext(code.load(vector, code.number(16 * p), ir.VectorType(I8, 16)), wide)
                for p in parts
            ]
            for r, scalar in enumerate(scalars):
                four = builder.sext(
                    code.load(scalar, zero, ir.VectorType(I8, 4)), ir.VectorType(I16, 4)
                )
                four = code.cut(four, [0, 1, 2, 3] * 4)
                for p in parts:
                    code.add(sums[r * len(parts) + p], products(lanes[p], four))

        steps.walk(numbers, body)
        for r, number in enumerate(numbers):
            own = [builder.load(place) for place in sums[r * len(parts) : (r + 1) * len(parts)]]
            low, high = (code.shuffle(own[p], own[p + 1], range(LANES)) for p in (0, 2))
            both = [code.shuffle(low, high, range(first, 2 * LANES, 2)) for first in (0, 1)]
            finish(number, builder.add(*both))


_sum = _sum_bytes if FLIP else _sum_words


@intrinsic  # type: ignore[untyped-decorator]
def sum_places(  # noqa: PLR0917
    context: Any, tile: Any, fours: Any, starts: Any, out: Any, place: Any, places: Any,
    groups: Any, row: Any, at: Any, stride: Any, last: Any, fresh: Any,
) -> Any:  # pragma: no cover  (as above)  # fmt: skip
    """``SCALARS`` output channels of ``LANES`` places.

    Args:
        context: Of numba's compiler.
        tile: int32, four bytes each: ``groups`` rows of ``places``.
        fours: int32, four bytes each: weights, a row of ``groups`` for every output channel.
        starts: int32, what is added to the sums of an output channel.
        out: int32, the result of a sample.
        place: The first place in the tile.
        places: Those of the tile.
        groups: Rows of the tile.
        row: The first output channel in ``fours``.
        at: Where in ``out`` the first sum goes.
        stride: From an output channel to the next in ``out``.
        last: Output channels of the block that ``out`` has room for, less one; those after it are
            equal to it.
        fresh: 1 if sums are written, 0 if they are added.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, fours, starts, out = addresses(target, builder, signature, arguments, 4)
        place, places, groups, row, at, stride, last, fresh = arguments[4:]
        code = Code(builder, groups.type)
        place_of_total = cgutils.alloca_once(builder, V16)
        vectors = builder.bitcast(builder.gep(tile, [place]), I8.as_pointer())
        step = builder.shl(places, code.number(2))

        def scalar(number: Any) -> Any:
            of_row = builder.mul(builder.add(row, number), groups)
            return builder.bitcast(builder.gep(fours, [of_row]), I8.as_pointer())

        def finish(number: Any, sums: Any) -> None:
            start = code.load(starts, builder.add(row, number), I32)
            beyond = builder.icmp_signed(">", number, last)
            line = builder.mul(builder.select(beyond, last, number), stride)
            total, to = builder.add(sums, code.spread(start, LANES)), builder.add(at, line)
            builder.store(total, place_of_total)
            with builder.if_then(builder.icmp_signed("==", fresh, code.number(0))):
                code.add(place_of_total, code.load(out, to, V16))
            code.store(builder.load(place_of_total), out, to)

        one, zero = code.number(1), code.number(0)
        _sum(code, _Steps(code, vectors, step, scalar, one, groups, zero), True, finish)
        return target.get_dummy_value()

    return types.void(tile, fours, starts, out, *[types.intp] * 8), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_windows(  # noqa: PLR0917
    context: Any, fours: Any, maps: Any, offsets: Any, out: Any, first: Any, rows: Any,
    groups: Any, pitch: Any,
) -> Any:  # pragma: no cover  (as above)  # fmt: skip
    """Add to ``SCALARS`` elements of a window the products with ``LANES`` output channels.

    Args:
        context: Of numba's compiler.
        fours: int32, four places of a gradient each: ``rows`` of ``groups`` of ``LANES``.
        maps: int8, the input, row by row.
        offsets: int32, where in ``maps`` the first place of an element of the window is.
        out: int32, ``LANES`` sums for every element of the window.
        first: The first element.
        rows: Those of ``fours``.
        groups: Vectors of a row.
        pitch: Bytes of ``maps`` from a row to the next.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        fours, maps, offsets, out = addresses(target, builder, signature, arguments, 4)
        first, rows, groups, pitch = arguments[4:]
        code = Code(builder, groups.type)
        vectors = builder.bitcast(fours, I8.as_pointer())

        def scalar(number: Any) -> Any:
            offset = code.load(offsets, builder.add(first, number), I32)
            return builder.gep(maps, [builder.sext(offset, groups.type)])

        def finish(number: Any, sums: Any) -> None:
            at = builder.mul(builder.add(first, number), code.number(LANES))
            code.store(builder.add(code.load(out, at, V16), sums), out, at)

        step = code.number(4 * LANES)
        _sum(code, _Steps(code, vectors, step, scalar, rows, groups, pitch), False, finish)
        return target.get_dummy_value()

    return types.void(fours, maps, offsets, out, *[types.intp] * 4), generate
