"""What the vector code of convolutions has in common: sizes, and a builder of instructions.

numba recompiles a cached function only when the function's own file changes: after a change here or
in a module of code beside it, touch :mod:`.kernels` and :mod:`.weight_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from trainfit.algorithms.numerics.int8.byte_code import has_byte_dots
from trainfit.algorithms.numerics.int8.convolution.sizes import LANES

FLIP = -128 if has_byte_dots() else 0
"""What every byte of a map is xored with where it is laid out."""

ROW = 8
"""Elements of a row that are laid out at once."""

I8, I16, I32 = (ir.IntType(bits) for bits in (8, 16, 32))
V16 = ir.VectorType(I32, LANES)


class Code:  # pragma: no cover  (runs in the compiler)
    """A builder, with the few operations that the blocks below consist of."""

    def __init__(self, builder: Any, whole_type: Any) -> None:
        self.builder, self.whole_type = builder, whole_type

    def number(self, n: int) -> Any:
        """A constant of the type of indices."""
        return ir.Constant(self.whole_type, n)

    def shuffle(self, left: Any, right: Any, places: Iterable[int]) -> Any:
        """Elements of two vectors, counted through both."""
        chosen = list(places)
        indices = ir.Constant(ir.VectorType(I32, len(chosen)), chosen)
        return self.builder.shuffle_vector(left, right, indices)

    def cut(self, vector: Any, places: Iterable[int]) -> Any:
        """Elements of one vector."""
        return self.shuffle(vector, ir.Constant(vector.type, ir.Undefined), places)

    def spread(self, scalar: Any, count: int) -> Any:
        """A vector of equal elements."""
        kind = ir.VectorType(scalar.type, count)
        one = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0)
        )
        return self.cut(one, [0] * count)

    def load(self, base: Any, at: Any, kind: Any) -> Any:
        """A vector or number from anywhere."""
        address = self.builder.bitcast(self.builder.gep(base, [at]), kind.as_pointer())
        loaded = self.builder.load(address)
        loaded.align = 1
        return loaded

    def store(self, value: Any, base: Any, at: Any) -> None:
        """The same the other way."""
        address = self.builder.gep(base, [at])
        address = self.builder.bitcast(address, value.type.as_pointer())
        self.builder.store(value, address).align = 1

    def sums(self, count: int, kind: Any) -> list[Any]:
        """Variables that LLVM keeps in registers, 0 at first."""
        places = [cgutils.alloca_once(self.builder, kind) for _ in range(count)]
        for place in places:
            self.builder.store(ir.Constant(kind, [0] * kind.count), place)
        return places

    def add(self, place: Any, addend: Any) -> None:
        """Add to a variable."""
        self.builder.store(self.builder.add(self.builder.load(place), addend), place)

    def flipped(self, of_bytes: Any) -> Any:
        """Bytes as they are laid out."""
        count = of_bytes.type.count
        return self.builder.xor(of_bytes, ir.Constant(of_bytes.type, [FLIP] * count))

    def in_blocks(self, count: Any, body: Callable[[Any], None]) -> None:
        """``ROW`` of at least as many at a time; the last block is shifted inwards."""
        last = self.builder.sub(count, self.number(ROW))
        with cgutils.for_range_slice(self.builder, self.number(0), count, self.number(ROW)) as (
            at,
            _,
        ):
            beyond = self.builder.icmp_signed(">", at, last)
            body(self.builder.select(beyond, last, at))


def addresses(
    target: Any, builder: Any, signature: Any, arguments: Any, count: int
) -> list[Any]:  # pragma: no cover  (as above)
    """Those of the first elements of as many arrays."""
    return [
        target.make_array(kind)(target, builder, value).data
        for kind, value in zip(signature.args[:count], arguments[:count], strict=True)
    ]
