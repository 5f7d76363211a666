"""What our own convolutions compute: products of INT8, as torch's compute those of float32.

Shape suffixes are those of the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.bench.trace.operations.contents import Contents
from trainfit.bench.trace.operations.work import Part, Product, Result, Row, Work
from trainfit.bench.trace.trace import Operand, Operator


def _product(
    left: Operand, right: Operand, result: Operand, places: Operand, per_place: int
) -> Iterator[Work]:
    """So many multiply-accumulates at every place."""
    operands = Part(left, left.elements), Part(right, right.elements)
    macs, kept = places.elements * per_place, Result(result, result.elements)
    yield Product(macs, operands, kept, NumberFormat.INT8)


def _int8_convolution(call: Operator, contents: Contents) -> Iterator[Work]:
    """The weights of a filter at every place of the result."""
    del contents
    x_NCHW, w_OCHW, z_NOPQ = call.args[:3]
    return _product(x_NCHW, w_OCHW, z_NOPQ, z_NOPQ, math.prod(w_OCHW.shape[1:]))


def _int8_convolution_input(call: Operator, contents: Contents) -> Iterator[Work]:
    """The same, at every place of the result's gradient."""
    del contents
    d_NOPQ, w_OCHW, dx_NCHW = call.args[:3]
    return _product(d_NOPQ, w_OCHW, dx_NCHW, d_NOPQ, math.prod(w_OCHW.shape[1:]))


def _int8_convolution_weight(call: Operator, contents: Contents) -> Iterator[Work]:
    """For every weight, the places of its output channel in all samples; maybe some channels'."""
    del contents
    d_NOPQ, x_NCHW, g_OCHW = call.args[:3]
    places = d_NOPQ.elements // d_NOPQ.shape[1]
    some = Part(d_NOPQ, places * g_OCHW.shape[0])
    operands, kept = (some, Part(x_NCHW, x_NCHW.elements)), Result(g_OCHW, g_OCHW.elements)
    yield Product(places * g_OCHW.elements, operands, kept, NumberFormat.INT8)


ROWS: Mapping[str, Row] = {
    "trainfit.int8_convolution": _int8_convolution,
    "trainfit.int8_convolution_input": _int8_convolution_input,
    "trainfit.int8_convolution_weight": _int8_convolution_weight,
}
