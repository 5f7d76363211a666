"""What torch's products compute: of matrices, convolutions, attention.

A product with a vector is no product of matrices: it is counted element by element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.bench.trace.operations.contents import Contents
from trainfit.bench.trace.operations.elementwise import argument, factors
from trainfit.bench.trace.operations.work import Each, Part, Product, Result, Row, Work, product
from trainfit.bench.trace.trace import Operand, Operator


def _of_matrices(left: Operand, right: Operand, result: Operand, contents: Contents) -> Product:
    """(..., rows, inner) times (..., inner, columns)."""
    *batch, rows, inner = left.shape
    sizes = rows, inner, right.shape[-1]
    number_format = contents.of_product(left, right)
    return product(left, right, result, sizes, number_format, math.prod(batch))


def _mm(call: Operator, contents: Contents) -> Iterator[Work]:
    yield _of_matrices(call.args[0], call.args[1], call.results[0], contents)


def _added(call: Operator, contents: Contents) -> Iterator[Work]:
    """``beta c + alpha a b``; a factor on signs or bits makes others of them."""
    made = _of_matrices(call.args[1], call.args[2], call.results[0], contents)
    yield made
    yield from _sum(call, scaled=made.number_format not in _WITH_BITS)


_WITH_BITS = {NumberFormat.BINARY, NumberFormat.FP32_BINARY}


def _sum(call: Operator, *, scaled: bool = True) -> Iterator[Work]:
    """Of ``c`` and a product.

    Adding to what is there is part of multiply-accumulates, with factors it is not; a bias is
    counted, as a sum that is made anew.
    """
    alpha, beta = call.kwargs.get("alpha", 1), call.kwargs.get("beta", 1)
    multiplied = factors(alpha) * scaled + (beta != 0 and factors(beta))
    elements, in_place = call.results[0].elements, call.results[0] == call.args[0]
    yield Each(Kind.MULTIPLY, multiplied * elements)
    if beta != 0 and (multiplied or not in_place):
        yield Each(Kind.ADD, elements)


def _with_vector(call: Operator, contents: Contents) -> Iterator[Work]:
    """A matrix or a vector times a vector."""
    del contents
    for kind in (Kind.MULTIPLY, Kind.ADD):
        yield Each(kind, call.args[0].elements)


def _vector_added(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    for kind in (Kind.MULTIPLY, Kind.ADD):
        yield Each(kind, call.args[1].elements)
    yield from _sum(call)


def _outer(call: Operator, contents: Contents) -> Iterator[Work]:
    """A column times a row, added."""
    del contents
    for kind in (Kind.MULTIPLY, Kind.ADD):
        yield Each(kind, call.results[0].elements)
    yield from _sum(call)


def _convolution(call: Operator, contents: Contents) -> Iterator[Work]:
    """Every weight of a filter, at every place of the result (of the input, if transposed)."""
    x, weight, bias = call.args[:3]
    result = call.results[0]
    yield _filtered((x, weight), result, weight, x if call.args[6] else result, contents)
    if bias is not None:
        yield Each(Kind.ADD, result.elements)


def _filtered(
    operands: tuple[Operand, Operand],
    result: Operand,
    weight: Operand,
    places: Operand,
    contents: Contents,
) -> Product:
    """One of the three products of a convolution: of all ``places``, with every filter's weights.

    All have as many terms; ``places`` is its result, or its input if it is transposed.
    """
    macs = places.elements * math.prod(weight.shape[1:])
    left, right = operands
    parts = Part(left, left.elements), Part(right, right.elements)
    return Product(macs, parts, Result(result, result.elements), contents.of_product(left, right))


def _convolution_backward(call: Operator, contents: Contents) -> Iterator[Work]:
    dy, x, weight = call.args[:3]
    places, (to_x, to_weight, to_bias) = x if call.args[7] else dy, call.args[10]
    if to_x:
        yield _filtered((dy, weight), x, weight, places, contents)
    if to_weight:
        yield _filtered((dy, x), weight, weight, places, contents)
    if to_bias:
        yield Each(Kind.ADD, dy.elements)


def _attention(products: tuple[str, ...], **kinds: int) -> Row:
    """Products of scores and of values, and what is done with every score.

    Args:
        products: The widths of their inner or outer sides: of keys ``e``, of values ``v``.
        kinds: Operations per score.
    """

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        at = 1 if len(products) > 2 else 0  # backward: the gradient comes first
        query, key, value = call.args[at : at + 3]
        *batch, rows, width = query.shape
        columns, times = key.shape[-2], math.prod(batch)
        widths = {"e": width, "v": value.shape[-1]}
        number_format = contents.of_product(query, key)
        for each in products:
            sizes = rows, widths[each], columns
            yield product(query, key, call.results[0], sizes, number_format, times)
        for kind, count in kinds.items():
            yield Each(Kind(kind), count * times * rows * columns)

    return row


def _linear(call: Operator, contents: Contents) -> Iterator[Work]:
    x, weight = call.args[:2]
    outputs, inputs = weight.shape
    sizes = x.elements // inputs, inputs, outputs
    yield product(x, weight, call.results[0], sizes, contents.of_product(x, weight))
    if argument(call, 2, "bias") is not None:
        yield Each(Kind.ADD, call.results[0].elements)


_FORWARD = _attention(("e", "v"), multiply=1, compare=1, add=2, transcendental=1, divide=1)
_BACKWARD = _attention(
    ("e", "v", "v", "e", "e"), multiply=3, add=2, transcendental=1, divide=0
)  # scores again, of values and scores, of queries and keys

ROWS: Mapping[str, Row] = {
    **dict.fromkeys(["aten.mm", "aten.bmm"], _mm),
    **dict.fromkeys(["aten.addmm", "aten.baddbmm"], _added),
    "aten.addmv": _vector_added,
    "aten.addr": _outer,
    **dict.fromkeys(["aten.dot", "aten.mv"], _with_vector),
    "aten.convolution": _convolution,
    "aten.convolution_backward": _convolution_backward,
    "aten.linear": _linear,
    **{
        f"aten._scaled_dot_product_{way}": _FORWARD
        for way in ("flash_attention_for_cpu", "flash_attention", "efficient_attention")
    },
    **{
        f"aten._scaled_dot_product_{way}_backward": _BACKWARD
        for way in ("flash_attention_for_cpu", "flash_attention", "efficient_attention")
    },
}
