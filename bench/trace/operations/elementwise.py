"""What torch's operators on single elements compute, and its sums.

Arithmetic on whole numbers is none of a rule's own: it finds places, moves bits and counts. What is
added, multiplied or compared of single numbers (the scale of a tensor) is left out, too; divisions,
roots and functions of them are counted. Floats of any width are counted as float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.bench.trace.operations.contents import Content, Contents, is_integer, read_by
from trainfit.bench.trace.operations.work import Each, Row, Work, nothing
from trainfit.bench.trace.trace import Operand, Operator


def _counted(call: Operator, contents: Contents) -> NumberFormat | None:
    """The number format of an operation on elements; None if it is not counted."""
    read = read_by(call)
    held = {contents.of(each) for each in read}
    if held == {Content.BITS}:
        return None  # a tile that is unpacked
    if is_integer(call, held):
        return NumberFormat.INT8
    if read and not any(each.dtype.is_floating_point or each.dtype.is_complex for each in read):
        return None
    return NumberFormat.FP32


_CHEAP = {"add", "multiply", "compare"}


def _of_tensor(call: Operator, contents: Contents) -> NumberFormat | None:
    """The same of an operation that gives a tensor: with single numbers it is not counted."""
    if not call.results or call.results[0].elements == 1:
        return None
    return _counted(call, contents)


def per_element(**kinds: int) -> Row:
    """So many operations of each kind on every element of the result."""

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        number_format = _counted(call, contents)
        single = bool(call.results) and call.results[0].elements == 1
        if number_format is not None and call.results:
            for kind, times in kinds.items():
                if single and kind in _CHEAP:
                    continue
                yield Each(Kind(kind), times * call.results[0].elements, number_format)

    return row


def per_operand(per_result: Mapping[Kind, int] | None = None, **kinds: int) -> Row:
    """The same on every element of the first operand, and some on every element of the result.

    Bits that are summed are counted: that is no unpacking.
    """

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        read = read_by(call)
        number_format = _counted(call, contents)
        if number_format is None and contents.of(read[0]) is Content.BITS:
            number_format = NumberFormat.FP32
        if number_format is not None:
            for kind, times in kinds.items():
                yield Each(Kind(kind), times * read[0].elements, number_format)
            for last, times in (per_result or {}).items():
                yield Each(last, times * call.results[0].elements, number_format)

    return row


def factors(*numbers: object) -> int:
    """How many of these factors have to be multiplied by."""
    return sum(number not in {None, 1, -1} for number in numbers)


def argument(call: Operator, place: int, name: str, default: object = None) -> object:
    """An argument by place or by name."""
    return call.args[place] if len(call.args) > place else call.kwargs.get(name, default)


def _sum_of_two(call: Operator, contents: Contents) -> Iterator[Work]:
    """Added or subtracted, maybe times a number."""
    number_format = _of_tensor(call, contents)
    if number_format is not None:
        elements = call.results[0].elements
        yield Each(Kind.ADD, elements, number_format)
        yield Each(Kind.MULTIPLY, factors(argument(call, 2, "alpha")) * elements, number_format)


def _addcmul(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    elements = call.results[0].elements
    yield Each(Kind.ADD, elements)
    yield Each(Kind.MULTIPLY, (1 + factors(argument(call, 3, "value"))) * elements)


def _addcdiv(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    elements = call.results[0].elements
    yield Each(Kind.ADD, elements)
    yield Each(Kind.DIVIDE, elements)
    yield Each(Kind.MULTIPLY, factors(argument(call, 3, "value")) * elements)


def _clamp(call: Operator, contents: Contents) -> Iterator[Work]:
    """One comparison per bound."""
    number_format = _of_tensor(call, contents)
    if number_format is not None:
        bounds = (argument(call, 1, "min"), argument(call, 2, "max"))
        count = sum(bound is not None for bound in bounds)
        yield Each(Kind.COMPARE, count * call.results[0].elements, number_format)


def _power(call: Operator, contents: Contents) -> Iterator[Work]:
    """A square is a product, a root a root; others take a logarithm and an exponential."""
    del contents
    exponent, elements = call.args[1], call.results[0].elements
    if isinstance(exponent, (int, float)) and float(exponent).is_integer() and exponent > 0:
        yield Each(Kind.MULTIPLY, (int(exponent) - 1) * elements)
    elif exponent in {0.5, -1, -0.5}:
        yield Each(Kind.DIVIDE, (2 if exponent == -0.5 else 1) * elements)
    else:
        yield Each(Kind.TRANSCENDENTAL, 2 * elements)
        yield Each(Kind.MULTIPLY, elements)


def _reciprocal(call: Operator, contents: Contents) -> Iterator[Work]:
    """A division; of an inverse root it gives the root, and takes the other division back."""
    if _counted(call, contents) is None:
        return
    inverse = contents.writer(call.given[0]) == "aten.rsqrt"
    yield Each(Kind.DIVIDE, (-1 if inverse else 1) * call.results[0].elements)


def _norm(call: Operator, contents: Contents) -> Iterator[Work]:
    """Of length: squares, their sum and a root; of the largest magnitude: comparisons."""
    del contents
    order, elements = argument(call, 1, "ord", 2), call.given[0].elements
    if order in {math.inf, -math.inf}:
        yield Each(Kind.COMPARE, elements)
        return
    if order != 1:
        yield Each(Kind.MULTIPLY, elements)
        yield Each(Kind.DIVIDE, call.results[0].elements)
    yield Each(Kind.ADD, elements)


def _scatter_number(call: Operator, contents: Contents) -> Iterator[Work]:
    """Into some places: nothing is written down but what is added or multiplied there."""
    del contents
    how = call.kwargs.get("reduce")
    index = call.args[2]
    if isinstance(index, Operand) and how in {"add", "multiply"}:
        yield Each(Kind.ADD if how == "add" else Kind.MULTIPLY, index.elements)


def _normal(call: Operator, contents: Contents) -> Iterator[Work]:
    """The transform of Box and Muller: a logarithm, a root, sine and cosine for every two."""
    del contents
    elements = call.results[0].elements
    yield Each(Kind.RANDOM, elements)
    yield Each(Kind.TRANSCENDENTAL, 3 * elements // 2)
    yield Each(Kind.DIVIDE, elements // 2)
    yield Each(Kind.MULTIPLY, elements)


def _tanh_backward(call: Operator, contents: Contents) -> Iterator[Work]:
    """``g (1 - t^2)``; t may have fewer elements."""
    del contents
    slopes = call.args[1].elements
    yield Each(Kind.MULTIPLY, slopes + call.results[0].elements)
    yield Each(Kind.ADD, slopes)


def _draws(call: Operator, contents: Contents) -> Iterator[Work]:
    """A pseudo-random number for every element."""
    del contents
    yield Each(Kind.RANDOM, call.results[0].elements)


def _is_zero(call: Operator, contents: Contents) -> Iterator[Work]:
    """A comparison, if it was no truth value before."""
    if contents.of(call.given[0]) is not Content.BITS:
        yield Each(Kind.COMPARE, call.results[0].elements)


def _rows(row: Row, names: str) -> dict[str, Row]:
    return {f"aten.{name}": row for name in names.split()}


ROWS: Mapping[str, Row] = {
    **_rows(
        nothing,
        "abs arange bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift"
        " bitwise_xor cat ceil clone constant_pad_nd copy embedding empty empty_like"
        " empty_strided fill flip floor full full_like gather index index_put index_select"
        " lift_fresh logical_and logical_or logical_xor masked_fill masked_scatter neg"
        " new_empty new_empty_strided new_full new_ones new_zeros ones ones_like pixel_shuffle"
        " pixel_unshuffle randperm reflection_pad1d reflection_pad2d repeat replication_pad1d"
        " replication_pad2d round select_backward slice_backward split_with_sizes stack"
        " _to_copy tril triu trunc unsafe_split unsafe_split_with_sizes _unsafe_view"
        " upsample_nearest1d upsample_nearest2d where zero zeros zeros_like",
    ),
    **_rows(_sum_of_two, "add sub rsub"),
    **_rows(per_element(multiply=1), "mul square"),
    **_rows(per_element(divide=1), "div fmod remainder sqrt"),
    **_rows(per_element(divide=2), "rsqrt"),
    **_rows(_reciprocal, "reciprocal"),
    **_rows(per_element(add=2, multiply=1), "lerp"),
    **_rows(
        per_element(compare=1),
        "eq ge gt le lt maximum minimum ne relu sgn sign threshold threshold_backward",
    ),
    **_rows(per_element(compare=2), "hardtanh hardtanh_backward"),
    **_rows(
        per_element(transcendental=1),
        "cos erf erfc exp expm1 log log10 log1p log2 sigmoid sin tan tanh",
    ),
    **_rows(per_element(add=1, multiply=2), "sigmoid_backward"),
    **_rows(per_element(add=1, transcendental=2), "softplus"),
    **_rows(per_element(add=1, multiply=1, divide=1, transcendental=1), "softplus_backward"),
    **_rows(per_operand(add=1), "cumsum sum"),
    **_rows(per_operand(multiply=1), "cumprod prod"),
    **_rows(per_operand({Kind.DIVIDE: 1}, add=3, multiply=1), "var var_mean"),
    **_rows(per_operand({Kind.DIVIDE: 2}, add=3, multiply=1), "std std_mean"),
    **_rows(
        per_operand({Kind.TRANSCENDENTAL: 1, Kind.ADD: 1}, compare=1, add=2, transcendental=1),
        "logsumexp",
    ),
    **_rows(per_operand({Kind.DIVIDE: 1}, add=1), "mean"),
    **_rows(per_operand(compare=1), "amax amin argmax argmin max min"),
    **_rows(_addcmul, "addcmul"),
    **_rows(_addcdiv, "addcdiv"),
    **_rows(_clamp, "clamp"),
    **_rows(_tanh_backward, "tanh_backward"),
    **_rows(per_element(compare=1), "clamp_min clamp_max"),
    **_rows(_power, "pow"),
    **_rows(_norm, "linalg_vector_norm"),
    **_rows(_is_zero, "logical_not"),
    **_rows(_scatter_number, "scatter"),
    **_rows(_normal, "normal randn"),
    **_rows(_draws, "bernoulli rand randint random uniform"),
}
