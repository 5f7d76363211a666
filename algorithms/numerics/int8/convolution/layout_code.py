"""Bytes of maps and gradients laid out for :mod:`.sum_code`, as vector code.

Rows are gone through in blocks of ``ROW``; if no whole block is left, the last one is shifted
inwards and writes some places again. Shorter rows are left to the kernels, one element at a time.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.int8.convolution.code import I8, I32, ROW, Code, addresses


@intrinsic  # type: ignore[untyped-decorator]
def lay_fours(  # noqa: PLR0917
    context: Any, maps: Any, at: Any, plane: Any, last: Any, out: Any, to: Any, count: Any
) -> Any:  # pragma: no cover  (as above)
    """Four channels of a row, flipped, side by side: ``count`` int32, at least ``ROW``.

    Args:
        context: Of numba's compiler.
        maps: int8, the input.
        at: Where the row of the first channel begins.
        plane: From a channel to the next.
        last: Channels that there are, less one; those after it are equal to it.
        out: int32.
        to: Where the first goes.
        count: Places of the row.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (maps,) = addresses(target, builder, signature, arguments, 1)
        at, plane, last = arguments[1:4]
        out = target.make_array(signature.args[4])(target, builder, arguments[4]).data
        to, count = arguments[5:]
        code = Code(builder, count.type)
        starts = []
        for channel in range(4):
            number = code.number(channel)
            beyond = builder.icmp_signed(">", number, last)
            line = builder.mul(builder.select(beyond, last, number), plane)
            starts.append(builder.gep(maps, [builder.add(at, line)]))

        def body(block: Any) -> None:
            a, b, c, d = (code.load(start, block, ir.VectorType(I8, ROW)) for start in starts)
            turns = [side + k for k in range(ROW) for side in (0, ROW)]
            ab, cd = code.shuffle(a, b, turns), code.shuffle(c, d, turns)
            pairs = [
                side + 2 * k + byte for k in range(ROW) for side in (0, 2 * ROW) for byte in (0, 1)
            ]
            fours = code.flipped(code.shuffle(ab, cd, pairs))
            code.store(fours, out, builder.add(to, block))

        code.in_blocks(count, body)
        return target.get_dummy_value()

    return types.void(maps, at, plane, last, out, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def copy_fours(  # noqa: PLR0917
    context: Any, row: Any, at: Any, step: Any, out: Any, to: Any, count: Any
) -> Any:  # pragma: no cover  (as above)
    """``count`` int32 of a row, at least ``ROW``, every one or (``step`` 2) every other."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (row,) = addresses(target, builder, signature, arguments, 1)
        at, step = arguments[1:3]
        out = target.make_array(signature.args[3])(target, builder, arguments[3]).data
        to, count = arguments[4:]
        code = Code(builder, count.type)
        source = builder.gep(row, [at])

        def every(block: Any) -> None:
            some = code.load(source, block, ir.VectorType(I32, ROW))
            code.store(some, out, builder.add(to, block))

        def every_other(block: Any) -> None:
            twice = builder.shl(block, code.number(1))
            # One less than 2 ROW are needed; what lies after them may not be there.
            low = code.load(source, twice, ir.VectorType(I32, ROW))
            high = builder.add(twice, code.number(ROW - 1))
            high = code.load(source, high, ir.VectorType(I32, ROW))
            places = [2 * k if 2 * k < ROW else 2 * k + 1 for k in range(ROW)]
            code.store(code.shuffle(low, high, places), out, builder.add(to, block))

        with builder.if_else(builder.icmp_signed("==", step, code.number(1))) as (one, two):
            with one:
                code.in_blocks(count, every)
            with two:
                code.in_blocks(count, every_other)
        return target.get_dummy_value()

    return types.void(row, at, step, out, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def lay_row(  # noqa: PLR0917
    context: Any, maps: Any, at: Any, step: Any, out: Any, to: Any, other: Any, count: Any
) -> Any:  # pragma: no cover  (as above)
    """A row of ``count`` bytes, flipped; with ``step`` 2 odd places go to ``other``.

    ``count`` is at least ``ROW``; with step 2 it is even and at least ``2 ROW``.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (maps,) = addresses(target, builder, signature, arguments, 1)
        at, step = arguments[1:3]
        out = target.make_array(signature.args[3])(target, builder, arguments[3]).data
        to, other, count = arguments[4:]
        code = Code(builder, count.type)
        source = builder.gep(maps, [at])

        def every(block: Any) -> None:
            some = code.load(source, block, ir.VectorType(I8, ROW))
            code.store(code.flipped(some), out, builder.add(to, block))

        def parted(block: Any) -> None:
            twice = builder.shl(block, code.number(1))
            some = code.flipped(code.load(source, twice, ir.VectorType(I8, 2 * ROW)))
            for first, place in ((0, to), (1, other)):
                half = code.cut(some, range(first, 2 * ROW, 2))
                code.store(half, out, builder.add(place, block))

        with builder.if_else(builder.icmp_signed("==", step, code.number(1))) as (one, two):
            with one:
                code.in_blocks(count, every)
            with two:
                code.in_blocks(builder.ashr(count, code.number(1)), parted)
        return target.get_dummy_value()

    return types.void(maps, at, step, out, *[types.intp] * 3), generate


@intrinsic  # type: ignore[untyped-decorator]
def turn_fours(  # noqa: PLR0917
    context: Any, source: Any, at: Any, stride: Any, out: Any, to: Any, out_stride: Any
) -> Any:  # pragma: no cover  (as above)
    """A transposed block of four by four int32.

    Args:
        context: Of numba's compiler.
        source: int8 or int32.
        at: Byte at which the first row begins.
        stride: Bytes from a row to the next.
        out: int32.
        to: Where the first of the transposed rows begins.
        out_stride: From one of these to the next.
    """

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (source,) = addresses(target, builder, signature, arguments, 1)
        at, stride = arguments[1:3]
        out = target.make_array(signature.args[3])(target, builder, arguments[3]).data
        to, out_stride = arguments[4:]
        code = Code(builder, to.type)
        source = builder.bitcast(source, I8.as_pointer())

        def nth(start: Any, step: Any, n: int) -> Any:
            return builder.add(start, builder.mul(step, code.number(n)))

        a, b, c, d = (
            code.load(source, nth(at, stride, n), ir.VectorType(I32, 4)) for n in range(4)
        )
        pairs = [
            code.shuffle(*two, half)
            for half in ([0, 4, 1, 5], [2, 6, 3, 7])
            for two in ((a, b), (c, d))
        ]
        for n in range(4):
            low, high = pairs[n // 2 * 2 : n // 2 * 2 + 2]
            chosen = [0, 1, 4, 5] if n % 2 == 0 else [2, 3, 6, 7]
            code.store(code.shuffle(low, high, chosen), out, nth(to, out_stride, n))
        return target.get_dummy_value()

    return types.void(source, at, stride, out, types.intp, types.intp), generate
