"""What one operator computes: products, and operations on every element of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.bench.trace.operations.contents import Contents
from trainfit.bench.trace.trace import Operand, Operator


@dataclass(frozen=True, slots=True)
class Part:
    """An operand of a product.

    Attributes:
        tensor: Where it lies.
        elements: How many are read: more than the tensor has bytes, if it is packed bits.
        first: The first column that is read, if a kernel is given more of them.
    """

    tensor: Operand
    elements: int
    first: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The same of a result; the tensor is None for sums that a kernel keeps to itself."""

    tensor: Operand | None
    elements: int


@dataclass(frozen=True, slots=True)
class Product:
    """A product of matrices, or a convolution.

    Attributes:
        macs: Multiply-accumulates.
        operands: The two tensors that are multiplied.
        result: The third.
        number_format: Of the operands.
    """

    macs: int
    operands: tuple[Part, Part]
    result: Result
    number_format: NumberFormat


def product(  # noqa: PLR0917
    left: Operand,
    right: Operand,
    result: Operand | None,
    sizes: tuple[int, int, int],
    number_format: NumberFormat,
    times: int = 1,
    *,
    first: int = 0,
) -> Product:
    """``times`` products (rows, inner) times (inner, columns); ``sizes`` are these three.

    ``first`` is the first column of the left tensor that is read.
    """
    rows, inner, columns = sizes
    return Product(
        times * rows * inner * columns,
        (Part(left, times * rows * inner, first), Part(right, times * inner * columns)),
        Result(result, times * rows * columns),
        number_format,
    )


@dataclass(frozen=True, slots=True)
class Each:
    """An operation on every one of some elements."""

    kind: Kind
    elements: int
    number_format: NumberFormat = NumberFormat.FP32


Work = Product | Each

Row = Callable[[Operator, Contents], Iterator[Work]]
"""What the call of an operator computes, given what the storages hold that it reads."""


def nothing(call: Operator, contents: Contents) -> Iterator[Work]:
    """It moves data, or makes room for it."""
    del call, contents
    return iter(())
