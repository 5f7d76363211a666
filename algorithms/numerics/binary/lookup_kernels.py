"""Products of floats with packed bits, by looking sums of four floats up.

``sum_k w_k x_k`` with w in {-1, +1} or {0, 1} has only sixteen possible values for every four of
its addends. They are computed once, for sixteen rows of x side by side, and are then looked up with
four bits of w: an addition for four products (the method of the four Russians, Arlazarov et al.
1970). Nothing is unpacked.

The addends are summed one after the other, four at a time, whatever the workspace: the bits of the
result depend neither on it nor on the processor.

Shape suffixes: B batch, I inputs, O outputs, J outputs and K inputs of a slice, b bytes of packed
bits, G groups of four addends that are in the workspace at a time, sixteen bytes each, T rows of
its tables, L sixteen rows of floats side by side, N blocks of sixteen columns.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.binary.lookups import ENTRIES, LANES
from trainfit.algorithms.numerics.compiled import compiled

_CHAINS = 4
"""Sums that are added to in turn, so that none waits for itself."""

_F32, _U64 = np.float32, np.uint64


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:  # pragma: no cover  (in the compiler)
    """Sixteen vectors of sixteen lanes, with lanes and vectors exchanged."""
    lanes = ir.VectorType(ir.IntType(32), LANES)
    distance = LANES // 2
    while distance:
        low = [k if not k & distance else LANES + k - distance for k in range(LANES)]
        high = [k + distance for k in low]
        low, high = ir.Constant(lanes, low), ir.Constant(lanes, high)
        for r in range(LANES):
            if not r & distance:
                a, b = rows[r], rows[r + distance]
                rows[r] = builder.shuffle_vector(a, b, low)
                rows[r + distance] = builder.shuffle_vector(a, b, high)
        distance //= 2
    return rows


@intrinsic  # type: ignore[untyped-decorator]
def _block(  # noqa: PLR0917
    context: Any,
    tables_TL: Any,
    index_NG: Any,
    groups: Any,
    block: Any,
    out: Any,
    row: Any,
    place: Any,
    add: Any,
) -> Any:  # pragma: no cover  (runs in the compiler)
    """Looked up sums in sixteen columns, added to a block of ``out`` or written there."""
    vector = ir.VectorType(ir.FloatType(), LANES)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (tables, _), (index, length), (sums, width) = (
            _matrix(target, builder, signature.args[at], arguments[at]) for at in (0, 1, 4)
        )
        groups, block, row, place, add = (arguments[at] for at in (2, 3, 5, 6, 7))

        def number(n: int) -> Any:
            return ir.Constant(length.type, n)

        def line(r: int) -> Any:
            at = builder.mul(builder.add(row, number(r)), width)
            address = builder.gep(sums, [builder.add(at, place)])
            return builder.bitcast(address, vector.as_pointer())

        held = [cgutils.alloca_once(builder, vector) for _ in range(LANES)]
        with builder.if_else(add) as (more, fresh):
            with more:
                before = []
                for r in range(LANES):
                    loaded = builder.load(line(r))
                    loaded.align = 4
                    before.append(loaded)
                for own, value in zip(held, _transpose(builder, before), strict=True):
                    builder.store(value, own)
            with fresh:
                for own in held:
                    builder.store(ir.Constant(vector, [0.0] * LANES), own)
        # An index is eight times the entry's number, and an entry eight times eight bytes long.
        eights = builder.bitcast(tables, ir.IntType(64).as_pointer())
        index = builder.gep(index, [builder.mul(block, length)])
        for first in range(0, LANES, _CHAINS):
            chains = held[first : first + _CHAINS]
            with cgutils.for_range(builder, groups) as loop:
                table = builder.gep(eights, [builder.mul(loop.index, number(ENTRIES * 8))])
                own_index = builder.gep(index, [builder.mul(loop.index, number(LANES))])
                for c, chain in enumerate(chains, start=first):
                    entry = builder.load(builder.gep(own_index, [number(c)]))
                    entry = builder.zext(entry, length.type)
                    address = builder.bitcast(builder.gep(table, [entry]), vector.as_pointer())
                    addend = builder.load(address)
                    addend.align = 4
                    builder.store(builder.fadd(builder.load(chain), addend), chain)
        for r, value in enumerate(_transpose(builder, [builder.load(own) for own in held])):
            builder.store(value, line(r)).align = 4
        return target.get_dummy_value()

    operands = (tables_TL, index_NG, types.intp, types.intp, out, types.intp, types.intp)
    return types.void(*operands, types.boolean), generate


def _matrix(
    target: Any, builder: Any, kind: Any, value: Any
) -> tuple[Any, Any]:  # pragma: no cover  (as above)
    """Address and columns of a C-contiguous matrix."""
    array = target.make_array(kind)(target, builder, value)
    return array.data, cgutils.unpack_tuple(builder, array.shape)[1]


@numba.njit  # type: ignore[untyped-decorator]
def _fill(tables_TL: Any, group: Any, signed: Any) -> None:  # pragma: no cover  (compiled)
    """The sixteen sums of a group from its addends, which are in entries 1, 2, 4 and 8."""
    t = tables_TL[group * 16 : group * 16 + 16]
    for lane in range(16):
        a, b, c, d = t[1, lane], t[2, lane], t[4, lane], t[8, lane]
        none = _F32(0.0)
        na, nb, nc, nd = (-a, -b, -c, -d) if signed else (none, none, none, none)
        ab0, ab1, ab2, ab3 = na + nb, a + nb, na + b, a + b
        cd0, cd1, cd2, cd3 = nc + nd, c + nd, nc + d, c + d
        t[0, lane], t[1, lane], t[2, lane], t[3, lane] = ab0 + cd0, ab1 + cd0, ab2 + cd0, ab3 + cd0
        t[4, lane], t[5, lane], t[6, lane], t[7, lane] = ab0 + cd1, ab1 + cd1, ab2 + cd1, ab3 + cd1
        t[8, lane], t[9, lane], t[10, lane], t[11, lane] = (
            ab0 + cd2,
            ab1 + cd2,
            ab2 + cd2,
            ab3 + cd2,
        )
        t[12, lane], t[13, lane], t[14, lane], t[15, lane] = (
            ab0 + cd3,
            ab1 + cd3,
            ab2 + cd3,
            ab3 + cd3,
        )


@numba.njit  # type: ignore[untyped-decorator]
def _columns(  # noqa: PLR0917
    tables_TL: Any, index_NG: Any, groups: Any, out: Any, row: Any, more: Any
) -> None:  # pragma: no cover  (compiled)
    """Sixteen rows of ``out``, or as many as it has, in all its columns."""
    rows, columns = min(16, out.shape[0] - row), out.shape[1]
    whole = columns // 16 * 16 if rows == 16 else 0
    for k in range(0, whole, 16):
        _block(tables_TL, index_NG, groups, k // 16, out, row, k, more)
    spare = len(tables_TL) - 16  # a block beside the tables, for what is no whole block
    for k in range(whole, columns, 16):
        some = min(16, columns - k)
        if more:
            for r in range(rows):
                for c in range(some):
                    tables_TL[spare + r, c] = out[row + r, k + c]
        _block(tables_TL, index_NG, groups, k // 16, tables_TL, spare, 0, more)
        for r in range(rows):
            for c in range(some):
                out[row + r, k + c] = tables_TL[spare + r, c]


@compiled(
    "void(float32[:,:], intp, intp, uint8[:,::1], float32[:,::1], float32[:,::1], uint8[:,::1])",
    nogil=True,
)
def add_signed(  # noqa: PLR0917
    x_BI: Any, first: Any, inner: Any, w_Ob: Any, z_BO: Any, tables_TL: Any, index_NG: Any
) -> None:  # pragma: no cover  (compiled)
    """``z += x w^T`` for the ``inner`` columns of x from ``first`` on."""
    batch, (outputs, width) = len(x_BI), w_Ob.shape
    most = index_NG.shape[1] // 16
    for start in range(0, 2 * width, most):
        groups = min(most, 2 * width - start)
        for o in range(outputs):
            for g in range(groups):
                byte, shift = (start + g) // 2, np.uint8(4 * ((start + g) % 2))
                entry = (w_Ob[o, byte] >> shift) & np.uint8(15)
                index_NG[o // 16, 16 * g + o % 16] = entry << np.uint8(3)
        for b in range(0, batch, 16):
            for g in range(groups):
                for k in range(4):
                    i = 4 * (start + g) + k
                    entry = g * 16 + (1 << k)
                    for lane in range(16):
                        inside = i < inner and b + lane < batch
                        x = x_BI[b + lane, first + i] if inside else _F32(0.0)
                        tables_TL[entry, lane] = x
                _fill(tables_TL, g, True)
            _columns(tables_TL, index_NG, groups, z_BO, b, True)


@numba.njit  # type: ignore[untyped-decorator]
def _spread(byte: Any, entry: Any) -> Any:  # pragma: no cover  (compiled)
    """Eight bytes: ``entry`` where a bit is set, 0 elsewhere."""
    own = (_U64(byte) * _U64(0x0101010101010101)) & _U64(0x8040201008040201)
    ones = ((own + _U64(0x7F7F7F7F7F7F7F7F)) >> _U64(7)) & _U64(0x0101010101010101)
    return ones * _U64(entry)


@compiled(
    "void(float32[:,::1], intp, uint8[:,::1], float32[:,::1], float32[:,::1], uint8[:,::1],"
    " uint64[:,::1])",
    nogil=True,
)
def bit_gradient(  # noqa: PLR0917
    dz_BJ: Any, first: Any, h_Bb: Any, dw_JK: Any, tables_TL: Any, index_NG: Any, eights: Any
) -> None:  # pragma: no cover  (compiled)
    """``dw = dz^T h`` for columns of dz from ``first`` on; ``eights`` is ``index`` in words."""
    batch, width = h_Bb.shape
    most = index_NG.shape[1] // 16
    for start in range(0, batch, 4 * most):
        groups = min(most, (batch - start + 3) // 4)
        for g in range(groups):
            b = start + 4 * g
            for byte in range(width):
                entries = _spread(h_Bb[b, byte], 8)
                for k in range(1, min(4, batch - b)):
                    entries |= _spread(h_Bb[b + k, byte], 8 << k)
                eights[byte // 2, 2 * g + byte % 2] = entries
        for j in range(0, len(dw_JK), 16):
            some = min(16, len(dw_JK) - j)
            for g in range(groups):
                for k in range(4):
                    b = start + 4 * g + k
                    entry = g * 16 + (1 << k)
                    if b < batch and some == 16:
                        for lane in range(16):
                            tables_TL[entry, lane] = dz_BJ[b, first + j + lane]
                    else:
                        for lane in range(16):
                            inside = b < batch and lane < some
                            d = dz_BJ[b, first + j + lane] if inside else _F32(0.0)
                            tables_TL[entry, lane] = d
                _fill(tables_TL, g, False)
            _columns(tables_TL, index_NG, groups, dw_JK, j, start > 0)
