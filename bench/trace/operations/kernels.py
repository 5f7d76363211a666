"""What our own kernels compute, by name: the arithmetic that their documentation states.

Where a kernel does in one pass what are several steps of a rule, its row has them all. Shape
suffixes are those of the kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.bench.trace.operations import convolutions
from trainfit.bench.trace.operations.contents import Content, Contents
from trainfit.bench.trace.operations.work import Each, Product, Row, Work, nothing, product
from trainfit.bench.trace.trace import Operator

FP32, INT8 = NumberFormat.FP32, NumberFormat.INT8
BINARY, FP32_BINARY = NumberFormat.BINARY, NumberFormat.FP32_BINARY


def _per(place: int, **kinds: int) -> Row:
    """So many operations of each kind on every element of the argument at ``place``."""

    def row(call: Operator, contents: Contents) -> Iterator[Work]:
        del contents
        for kind, times in kinds.items():
            yield Each(Kind(kind), times * call.args[place].elements)

    return row


def _rounding(elements: int, *, stochastic: bool) -> Iterator[Work]:
    """``clip(round(t / s))``: a product, two bounds, maybe a random number that is added."""
    yield Each(Kind.MULTIPLY, elements)
    yield Each(Kind.COMPARE, 2 * elements)
    if stochastic:
        yield Each(Kind.RANDOM, elements)
        yield Each(Kind.ADD, elements)


def _squares(elements: int) -> Iterator[Work]:
    """A sum of products of integers."""
    yield Each(Kind.MULTIPLY, elements, INT8)
    yield Each(Kind.ADD, elements, INT8)


# ---- float32 and bits -----------------------------------------------------------------------


def _adam_step(call: Operator, contents: Contents) -> Iterator[Work]:
    """Two moving averages, g^2, root, epsilon, quotient, step; the decay."""
    del contents
    elements, decay = call.args[0].elements, int(len(call.args) > 8 and call.args[8] != 0)
    yield Each(Kind.MULTIPLY, (4 + decay) * elements)
    yield Each(Kind.ADD, (6 + decay) * elements)
    yield Each(Kind.DIVIDE, 2 * elements)


def _column_means(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    yield Each(Kind.ADD, call.args[0].elements)
    yield Each(Kind.DIVIDE, call.args[1].elements)


def _column_variances(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    yield Each(Kind.ADD, 2 * call.args[0].elements)
    yield Each(Kind.MULTIPLY, call.args[0].elements)
    yield Each(Kind.DIVIDE, call.args[2].elements)


def _drop_units(call: Operator, contents: Contents) -> Iterator[Work]:
    """A random number, a comparison and a factor for every unit."""
    del contents
    for kind in (Kind.RANDOM, Kind.COMPARE, Kind.MULTIPLY):
        yield Each(kind, call.args[0].elements)


def _pack_columns(call: Operator, contents: Contents) -> Iterator[Work]:
    """One bound, or two: below 1, too."""
    values, count = call.args[0], call.args[2]
    if contents.of(values) is not Content.BITS:
        bounds = 1 + bool(call.kwargs.get("below"))
        yield Each(Kind.COMPARE, bounds * values.shape[0] * count)


def _add_packed_product(call: Operator, contents: Contents) -> Iterator[Work]:
    """Of packed bits with packed bits; a product with a row of ones only counts bits."""
    del contents
    h_Bb, w_Ob, z_BO, inner = call.args
    if w_Ob.shape[0] == 1:
        yield Each(Kind.ADD, h_Bb.shape[0] * inner)
    else:
        yield product(h_Bb, w_Ob, z_BO, (h_Bb.shape[0], inner, w_Ob.shape[0]), BINARY)


def _add_by_lookup(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    x_BI, first, inner, w_Ob, z_BO = call.args[:5]
    sizes = x_BI.shape[0], inner, w_Ob.shape[0]
    yield product(x_BI, w_Ob, z_BO, sizes, FP32_BINARY, first=first)


def _gradient_by_lookup(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    dz_BJ, first, h_Bb, dw_JK = call.args[:4]
    sizes = dw_JK.shape[0], dz_BJ.shape[0], dw_JK.shape[1]
    yield product(dz_BJ, h_Bb, dw_JK, sizes, FP32_BINARY, first=first)


def _add_binary_patches(call: Operator, contents: Contents) -> Iterator[Work]:
    """A product for every position."""
    del contents
    h_BPb, w_PJSb, z_BPJ, _, _, inner = call.args
    positions, outputs, taps, _ = w_PJSb.shape
    sizes = h_BPb.shape[0], taps * inner, outputs
    yield product(h_BPb, w_PJSb, z_BPJ, sizes, BINARY, positions)


def _rectified(call: Operator, contents: Contents) -> Product:
    """``left^T right``."""
    left_KO, right_KI, target_OI = call.args[:3]
    sizes = target_OI.shape[0], left_KO.shape[0], target_OI.shape[1]
    number_format = contents.of_product(left_KO, right_KI)
    return product(left_KO, right_KI, target_OI, sizes, number_format)


def _add_rectified_product(call: Operator, contents: Contents) -> Iterator[Work]:
    yield _rectified(call, contents)
    factor = call.args[3] != 1
    yield Each(Kind.MULTIPLY, factor * call.args[2].elements)
    yield Each(Kind.ADD, factor * call.args[2].elements)


def _descend_rectified(call: Operator, contents: Contents) -> Iterator[Work]:
    """The product, momentum, decay and the step."""
    yield _rectified(call, contents)
    elements, decay = call.args[2].elements, call.args[5] != 0
    yield Each(Kind.MULTIPLY, (2 + decay) * elements)
    yield Each(Kind.ADD, (2 + decay) * elements)


def _rectified_linear(call: Operator, contents: Contents) -> Iterator[Work]:
    h_RI, w_OI, z_RO = call.args
    sizes = h_RI.shape[0], h_RI.shape[1], w_OI.shape[0]
    yield product(h_RI, w_OI, z_RO, sizes, contents.of_product(h_RI, w_OI))


# ---- INT8 -----------------------------------------------------------------------------------


def _int8_linear(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    h_BI, w_OI, z_BO = call.args[:3]
    yield product(h_BI, w_OI, z_BO, (h_BI.shape[0], h_BI.shape[1], w_OI.shape[0]), INT8)


def _int8_grad_input(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    d_BO, w_OI, dh_BI = call.args[:3]
    yield product(d_BO, w_OI, dh_BI, (d_BO.shape[0], d_BO.shape[1], w_OI.shape[1]), INT8)


def _int8_grad_weight(call: Operator, contents: Contents) -> Iterator[Work]:
    """Written down by a kernel of its own, but not by those that move weights at once."""
    del contents
    d_BO, h_BI, g_OI = call.args[:3]
    kept = g_OI if g_OI.dtype is torch.int32 else None
    yield product(d_BO, h_BI, kept, (d_BO.shape[1], d_BO.shape[0], h_BI.shape[1]), INT8)


def _int8_quantise(call: Operator, contents: Contents) -> Iterator[Work]:
    del contents
    yield from _rounding(call.args[0].elements, stochastic=call.args[4])


def _int8_forward(call: Operator, contents: Contents) -> Iterator[Work]:
    """``max(0, h w^T + b)``: scales, bias, rectifier, the largest of a row; squares of a row."""
    del contents
    h_BI, w_OI, q_BO = call.args[0], call.args[2], call.args[8]
    yield product(h_BI, w_OI, None, (h_BI.shape[0], h_BI.shape[1], w_OI.shape[0]), INT8)
    yield Each(Kind.MULTIPLY, 2 * q_BO.elements)
    yield Each(Kind.ADD, q_BO.elements)
    yield Each(Kind.COMPARE, 2 * q_BO.elements)
    yield Each(Kind.DIVIDE, h_BI.shape[0])
    yield from _rounding(q_BO.elements, stochastic=call.args[5])
    yield from _squares(q_BO.elements)


def _int8_rescale(call: Operator, contents: Contents) -> Iterator[Work]:
    """To one scale, and the gradient of the bias."""
    del contents
    elements = call.args[0].elements
    yield Each(Kind.MULTIPLY, elements)
    yield Each(Kind.ADD, elements)
    yield from _rounding(elements, stochastic=call.args[3])


def _int8_back(call: Operator, contents: Contents) -> Iterator[Work]:
    """A gradient through the layer above, through the rows' normalisation and the rectifier."""
    del contents
    e_BO, w_OI, g_BI, below_BI = (call.args[place] for place in (0, 1, 13, 15))
    batch, elements, below = g_BI.shape[0], g_BI.elements, int(below_BI.shape[0] > 0)
    yield product(e_BO, w_OI, None, (batch, e_BO.shape[1], w_OI.shape[1]), INT8)
    yield from _squares(elements)  # q . e w
    yield Each(Kind.MULTIPLY, (4 + below) * elements)
    yield Each(Kind.ADD, (2 + below) * elements)
    yield Each(Kind.COMPARE, (2 + below) * elements)
    yield Each(Kind.DIVIDE, (2 + below) * batch)
    for _ in range(1 + below):
        yield from _rounding(elements, stochastic=call.args[8])


def _int8_update(call: Operator, contents: Contents) -> Iterator[Work]:
    """``ws w += step d^T h``, rounded; ws doubles or halves where its row needs it."""
    yield from _int8_grad_weight(call, contents)
    w_OI = call.args[2]
    yield Each(Kind.MULTIPLY, w_OI.elements)
    yield Each(Kind.ADD, w_OI.elements)
    yield Each(Kind.COMPARE, w_OI.elements)
    yield Each(Kind.DIVIDE, w_OI.shape[0])
    yield from _rounding(w_OI.elements, stochastic=True)


def _int8_moved(call: Operator, contents: Contents) -> Iterator[Work]:
    """``scale q + rate factor d^T h``, and one division: of the range, or by the scale."""
    yield from _int8_grad_weight(call, contents)
    yield Each(Kind.MULTIPLY, 3 * call.args[2].elements)
    yield Each(Kind.ADD, call.args[2].elements)
    yield Each(Kind.DIVIDE, 1)


def _int8_moved_range(call: Operator, contents: Contents) -> Iterator[Work]:
    yield from _int8_moved(call, contents)
    yield Each(Kind.COMPARE, call.args[2].elements)


def _int8_move(call: Operator, contents: Contents) -> Iterator[Work]:
    yield from _int8_moved(call, contents)
    yield from _rounding(call.args[2].elements, stochastic=call.args[7])


def _int8_update_fp32(call: Operator, contents: Contents) -> Iterator[Work]:
    """``m = momentum m + scale d^T h; w -= rate m``."""
    yield from _int8_grad_weight(call, contents)
    w_OI, momentum = call.args[2], int(call.args[3].shape[0] > 0)
    yield Each(Kind.MULTIPLY, (2 + momentum) * w_OI.elements)
    yield Each(Kind.ADD, (1 + momentum) * w_OI.elements)


def _int8_labelled(call: Operator, contents: Contents) -> Iterator[Work]:
    """The largest of a row, its scale, the label's height in it; squares of a row."""
    del contents
    x_BI = call.args[0]
    yield Each(Kind.COMPARE, 2 * x_BI.elements)
    yield Each(Kind.DIVIDE, 2 * x_BI.shape[0])
    yield Each(Kind.MULTIPLY, x_BI.shape[0])
    yield from _rounding(x_BI.elements, stochastic=call.args[5])
    yield from _squares(x_BI.elements)


ROWS: Mapping[str, Row] = {
    **convolutions.ROWS,
    "trainfit.abs_of_others": _per(0, add=1),
    "trainfit.adam_step": _adam_step,
    "trainfit.add_binary_patches": _add_binary_patches,
    "trainfit.add_binary_product": _add_packed_product,
    "trainfit.add_by_lookup": _add_by_lookup,
    "trainfit.add_rectified_product": _add_rectified_product,
    "trainfit.add_sign_product": _add_packed_product,
    "trainfit.column_means": _column_means,
    "trainfit.column_squares": _per(0, multiply=1, add=1),
    "trainfit.column_variances": _column_variances,
    "trainfit.copy_patches": nothing,
    "trainfit.descend_rectified": _descend_rectified,
    "trainfit.draw_exponential": _per(0, random=1, transcendental=1),
    "trainfit.drop_units": _drop_units,
    "trainfit.gradient_by_lookup": _gradient_by_lookup,
    "trainfit.int8_back": _int8_back,
    "trainfit.int8_forward": _int8_forward,
    "trainfit.int8_grad_input": _int8_grad_input,
    "trainfit.int8_grad_weight": _int8_grad_weight,
    "trainfit.int8_labelled": _int8_labelled,
    "trainfit.int8_linear": _int8_linear,
    "trainfit.int8_move": _int8_move,
    "trainfit.int8_moved_range": _int8_moved_range,
    "trainfit.int8_quantise": _int8_quantise,
    "trainfit.int8_rescale": _int8_rescale,
    "trainfit.int8_update": _int8_update,
    "trainfit.int8_update_fp32": _int8_update_fp32,
    "trainfit.mostly_zeros": nothing,  # which kernel to take
    "trainfit.pack_columns": _pack_columns,
    "trainfit.rectified_linear": _rectified_linear,
    "trainfit.sum_magnitudes": _per(0, add=1),
}
