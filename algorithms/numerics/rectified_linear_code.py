"""The inner blocks of ``h w^T`` for rows of h with many zeros, as vector code.

Entries of a row are skipped, so a block of w has to be read down its columns: it is turned first.
As for :mod:`.rectified_code`, touch :mod:`.rectified_kernel` after a change here.

Shape suffixes: R rows, I inputs, O outputs, T elements of a turned block.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.rectified_code import LANES, WHOLE, WIDE, Vectors

BLOCK = WIDE * LANES
"""Rows and columns of a block of w: 64, as many as a mask has bits."""


def _address(  # noqa: PLR0917
    target: Any, builder: Any, kind: Any, value: Any, row: Any, column: Any
) -> Any:  # pragma: no cover  (runs in the compiler)
    """Of an element of a C-contiguous matrix."""
    array = target.make_array(kind)(target, builder, value)
    width = cgutils.unpack_tuple(builder, array.shape)[1]
    return builder.gep(array.data, [builder.add(builder.mul(row, width), column)])


@intrinsic  # type: ignore[untyped-decorator]
def speaking(context: Any, h_RI: Any, row: Any, column: Any) -> Any:
    """Bits of the entries that are not 0 (or not a number), ``LANES`` from ``column`` on."""

    def generate(
        target: Any, builder: Any, signature: Any, arguments: Any
    ) -> Any:  # pragma: no cover  (runs in the compiler)
        code = Vectors(builder, LANES)
        start = _address(target, builder, signature.args[0], arguments[0], *arguments[1:])
        bits = builder.fcmp_unordered("!=", code.load(start, 0), code.zeros)
        return builder.zext(builder.bitcast(bits, ir.IntType(LANES)), WHOLE)

    return types.int64(h_RI, row, column), generate


@intrinsic  # type: ignore[untyped-decorator]
def turn(  # noqa: PLR0917
    context: Any, w_OI: Any, row: Any, column: Any, block_T: Any, place: Any
) -> Any:
    """``LANES`` by ``LANES`` elements of w, transposed into rows of ``BLOCK`` from ``place`` on."""

    def generate(
        target: Any, builder: Any, signature: Any, arguments: Any
    ) -> Any:  # pragma: no cover  (runs in the compiler)
        w, row, column, block, place = arguments
        code = Vectors(builder, LANES)
        lines = []
        for number in range(LANES):
            at = builder.add(row, ir.Constant(WHOLE, number))
            start = _address(target, builder, signature.args[0], w, at, column)
            lines.append(code.load(start, 0))
        for step in (8, 4, 2, 1):  # swap the two off-diagonal quarters of ever smaller squares
            first = [n if not n & step else LANES + n - step for n in range(LANES)]
            second = [n + step if not n & step else LANES + n for n in range(LANES)]
            for number in range(LANES):
                if not number & step:
                    pair = lines[number], lines[number + step]
                    lines[number] = code.shuffle(*pair, first)
                    lines[number + step] = code.shuffle(*pair, second)
        into = target.make_array(signature.args[3])(target, builder, block)
        for number, line in enumerate(lines):
            at = builder.add(place, ir.Constant(WHOLE, number * BLOCK))
            code.store(line, builder.gep(into.data, [at]), 0)
        return target.get_dummy_value()

    return types.none(w_OI, row, column, block_T, place), generate


def _addition(vectors: int) -> Any:
    """An intrinsic for ``vectors`` vectors of outputs; see ``add_wide``."""

    @intrinsic  # type: ignore[untyped-decorator]
    def add(  # noqa: PLR0917
        context: Any,
        h_RI: Any,
        mask: Any,
        row: Any,
        column: Any,
        block_T: Any,
        z_RO: Any,
        output: Any,
        fresh: Any,
    ) -> Any:
        def generate(
            target: Any, builder: Any, signature: Any, arguments: Any
        ) -> Any:  # pragma: no cover  (runs in the compiler)
            h, mask, row, column, block, z, output, fresh = arguments
            code = Vectors(builder, LANES)
            values = _address(target, builder, signature.args[0], h, row, column)
            out = _address(target, builder, signature.args[5], z, row, output)
            turned = target.make_array(signature.args[4])(target, builder, block).data
            sums = [cgutils.alloca_once(builder, code.kind) for _ in range(vectors)]
            for place in sums:
                builder.store(code.zeros, place)
            left = cgutils.alloca_once(builder, WHOLE)
            builder.store(mask, left)
            test, body, end = (builder.append_basic_block(name) for name in ("test", "body", "end"))
            builder.branch(test)
            builder.position_at_end(test)
            bits = builder.load(left)
            builder.cbranch(builder.icmp_unsigned("!=", bits, ir.Constant(WHOLE, 0)), body, end)
            builder.position_at_end(body)
            number = builder.cttz(bits, ir.Constant(ir.IntType(1), 1))
            builder.store(builder.and_(bits, builder.sub(bits, ir.Constant(WHOLE, 1))), left)
            value = code.splat(builder.load(builder.gep(values, [number])))
            source = builder.gep(turned, [builder.mul(number, ir.Constant(WHOLE, BLOCK))])
            for n, place in enumerate(sums):
                builder.store(code.fma(value, code.load(source, n), builder.load(place)), place)
            builder.branch(test)
            builder.position_at_end(end)
            is_fresh = target.cast(builder, fresh, signature.args[7], types.boolean)
            for n, place in enumerate(sums):
                before = builder.select(is_fresh, code.zeros, code.load(out, n))
                code.store(builder.fadd(before, builder.load(place)), out, n)
            return target.get_dummy_value()

        return types.none(h_RI, mask, row, column, block_T, z_RO, output, fresh), generate

    return add


add_wide = _addition(WIDE)
"""``BLOCK`` outputs of one row, from ``output`` on: ``z <- z + sum_i h_i block_i`` over the bits i
of the mask, with h from ``column`` on; z counts as 0 if ``fresh``."""

add_narrow = _addition(1)
"""The same for ``LANES`` outputs."""
