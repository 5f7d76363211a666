"""Products of packed activations with packed signs, by population count.

With h in {0, 1} and w in {-1, +1}, ``sum_i w_i h_i = 2 popcount(h AND w) - popcount(h)`` where w's
bits are 1 for +1; with signs on both sides, ``sum_i w_i h_i = I - 2 popcount(h XOR w)`` (XNOR-Net,
Rastegari et al. 2016). Compiled on first use; allocates nothing.

Rows of at least ``WIDE`` bytes are counted 64 bytes and eight outputs at a time, with LLVM's
vectors: processors with a vector population count use it, others look nibbles up in a register. The
counts are integers, so every form gives the same bits.

Shape suffixes: B batch, O outputs, b bytes of packed bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from trainfit.algorithms.numerics.compiled import compiled

WIDE = 64
"""Bytes that are counted at once; shorter rows are counted in words of eight."""

OUTPUTS = 8
"""Outputs that are counted at once."""

_WORDS = WIDE // 8


@intrinsic  # type: ignore[untyped-decorator]
def count64(context: Any, bits: Any) -> Any:  # pragma: no cover  (runs in the compiler)
    """Number of set bits of a 64-bit word."""
    word = ir.IntType(64)

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(word, [word]), "llvm.ctpop.i64"
        )
        return builder.call(function, arguments)

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def load64(context: Any, rows: Any, offset: Any) -> Any:  # pragma: no cover  (as above)
    """Eight bytes of a C-contiguous byte matrix as one word; rows need not be aligned."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        word = builder.load(builder.bitcast(address, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(rows, types.intp), generate


def _fold(builder: Any, vectors: list[Any]) -> Any:  # pragma: no cover  (as above)
    """Of eight vectors of eight numbers the sums, as one vector."""
    distance = 1
    while len(vectors) > 1:
        own = [k if not k & distance else _WORDS + k - distance for k in range(_WORDS)]
        lanes = ir.VectorType(ir.IntType(32), _WORDS)
        left, right = ir.Constant(lanes, own), ir.Constant(lanes, [k + distance for k in own])
        vectors = [
            builder.add(builder.shuffle_vector(a, b, left), builder.shuffle_vector(a, b, right))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        distance *= 2
    return vectors[0]


def _wide_block(operation: str) -> Any:
    """An intrinsic: ``z[b, o:o + 8] += factor popcount(h[b] OP w[o:o + 8]) + constant``."""

    @intrinsic  # type: ignore[untyped-decorator]
    def block(  # noqa: PLR0917
        context: Any, h_Bb: Any, w_Ob: Any, z_BO: Any, b: Any, o: Any, factor: Any, constant: Any
    ) -> Any:  # pragma: no cover  (as above)
        def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (h, width), (w, _), (z, outputs) = (
                _matrix(target, builder, kind, value)
                for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
            )
            b, o, factor, constant = arguments[3:]
            words = ir.VectorType(ir.IntType(64), _WORDS)
            count = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(words, [words]), f"llvm.ctpop.v{_WORDS}i64"
            )

            def number(n: int) -> Any:
                return ir.Constant(width.type, n)

            def load(row: Any, at: Any) -> Any:
                address = builder.bitcast(builder.gep(row, [at]), words.as_pointer())
                loaded = builder.load(address)
                loaded.align = 1
                return loaded

            own = builder.gep(h, [builder.mul(b, width)])
            rows = [
                builder.gep(w, [builder.mul(builder.add(o, number(k)), width)])
                for k in range(OUTPUTS)
            ]
            places = [cgutils.alloca_once(builder, words) for _ in range(OUTPUTS)]
            for place in places:
                builder.store(ir.Constant(words, [0] * _WORDS), place)

            def accumulate(at: Any, mask: Any = None) -> None:
                left = load(own, at)
                for row, place in zip(rows, places, strict=True):
                    both = getattr(builder, operation)(left, load(row, at))
                    if mask is not None:
                        both = builder.and_(both, mask)
                    total = builder.add(builder.load(place), builder.call(count, [both]))
                    builder.store(total, place)

            whole = builder.and_(width, number(-WIDE))
            with cgutils.for_range_slice(builder, number(0), whole, number(WIDE)) as (at, _):
                accumulate(at)
            rest = builder.sub(width, whole)
            with builder.if_then(builder.icmp_signed(">", rest, number(0))):
                # The last 64 bytes, without those that are counted already.
                bytes_ = ir.VectorType(ir.IntType(8), WIDE)
                done = builder.trunc(builder.sub(number(WIDE), rest), ir.IntType(8))
                done = _splat(builder, done, bytes_)
                new = builder.icmp_unsigned(">=", ir.Constant(bytes_, list(range(WIDE))), done)
                mask = builder.bitcast(builder.sext(new, bytes_), words)
                accumulate(builder.sub(width, number(WIDE)), mask)
            counts = _fold(builder, [builder.load(place) for place in places])
            floats = ir.VectorType(ir.FloatType(), OUTPUTS)
            counts = builder.sitofp(
                builder.trunc(counts, ir.VectorType(ir.IntType(32), OUTPUTS)), floats
            )
            address = builder.gep(z, [builder.add(builder.mul(b, outputs), o)])
            address = builder.bitcast(address, floats.as_pointer())
            before = builder.load(address)
            before.align = 4
            addend = builder.fmul(counts, _splat(builder, factor, floats))
            addend = builder.fadd(addend, _splat(builder, constant, floats))
            after = builder.store(builder.fadd(before, addend), address)
            after.align = 4
            return target.get_dummy_value()

        operands = (h_Bb, w_Ob, z_BO, types.intp, types.intp, types.float32, types.float32)
        return types.void(*operands), generate

    return block


def _matrix(
    target: Any, builder: Any, kind: Any, value: Any
) -> tuple[Any, Any]:  # pragma: no cover  (as above)
    """Address and columns of a C-contiguous matrix."""
    array = target.make_array(kind)(target, builder, value)
    return array.data, cgutils.unpack_tuple(builder, array.shape)[1]


def _splat(builder: Any, value: Any, vector: Any) -> Any:  # pragma: no cover  (as above)
    """A vector with one value in all lanes."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, _lane(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)


def _lane(number: int) -> Any:  # pragma: no cover  (as above)
    return ir.Constant(ir.IntType(32), number)


_and_block, _xor_block = _wide_block("and_"), _wide_block("xor")


@compiled("void(uint8[:,::1], uint8[:,::1], float32[:,::1], intp, intp)", nogil=True)
def add_binary_product(
    h_Bb: Any, w_Ob: Any, z_BO: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``z += h w^T`` with h in {0, 1}."""
    width = h_Bb.shape[1]
    outputs, words = w_Ob.shape[0], width // 8
    blocks = outputs // OUTPUTS * OUTPUTS if width >= WIDE else 0
    for b in range(start, stop):
        own = np.uint64(0)
        for k in range(words):
            own += count64(load64(h_Bb, b * width + 8 * k))
        for k in range(8 * words, width):
            own += count64(np.uint64(h_Bb[b, k]))
        for o in range(0, blocks, OUTPUTS):
            _and_block(h_Bb, w_Ob, z_BO, b, o, np.float32(2.0), -np.float32(own))
        for o in range(blocks, outputs):
            both = np.uint64(0)
            for k in range(words):
                h = load64(h_Bb, b * width + 8 * k)
                both += count64(h & load64(w_Ob, o * width + 8 * k))
            for k in range(8 * words, width):
                both += count64(np.uint64(h_Bb[b, k]) & np.uint64(w_Ob[o, k]))
            z_BO[b, o] += np.float32(2.0) * np.float32(both) - np.float32(own)


@compiled("void(uint8[:,::1], uint8[:,::1], float32[:,::1], int64, intp, intp)", nogil=True)
def add_sign_product(  # noqa: PLR0917
    h_Bb: Any, w_Ob: Any, z_BO: Any, inner: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """Rows of ``z += h w^T`` with signs on both sides, ``inner`` columns without the padding."""
    width = h_Bb.shape[1]
    outputs, words = w_Ob.shape[0], width // 8
    blocks = outputs // OUTPUTS * OUTPUTS if width >= WIDE else 0
    for b in range(start, stop):
        for o in range(0, blocks, OUTPUTS):
            _xor_block(h_Bb, w_Ob, z_BO, b, o, np.float32(-2.0), np.float32(inner))
        for o in range(blocks, outputs):
            unlike = np.uint64(0)
            for k in range(words):
                h = load64(h_Bb, b * width + 8 * k)
                unlike += count64(h ^ load64(w_Ob, o * width + 8 * k))
            for k in range(8 * words, width):
                unlike += count64(np.uint64(h_Bb[b, k]) ^ np.uint64(w_Ob[o, k]))
            z_BO[b, o] += np.float32(inner) - np.float32(2.0) * np.float32(unlike)
