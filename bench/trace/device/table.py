"""The operator table: how torch's operators, and the kernels of the project, compute.

One row per operator, for all its variants (``add``, ``add_``, ``add.out``). One that is not here
reads all that it is given, changes what its schema says where it is, and shares no memory: an
unknown operator can make the view too large, never too small.
"""

from __future__ import annotations

from dataclasses import replace

from trainfit.bench.trace.device.rows import Row, Way
from trainfit.bench.trace.trace import Operand, Operator, operands


def row_of(operator: Operator) -> Row:
    """The row for a call."""
    space, _, rest = operator.name.partition(".")
    name = rest.partition(".")[0]
    if space == "profiler":
        return _NOTHING
    row = _TABLES.get(space, {}).get(name) or _TABLES.get(space, {}).get(name.rstrip("_"))
    if row is None or (name == "scatter_" and not _one_per_row(operator)):
        return _OTHER
    if name.rstrip("_") in _SCALING and _with_a_number(operator):
        return replace(row, way=Way.MERE)
    if row.way is Way.PRODUCT and name.endswith("_") and operator.kwargs.get("beta", 1) == 0:
        return replace(row, overwrites=(0,))
    return row


def row_of_sums(operator: Operator, row: Row) -> int:
    """Bytes of the sums of one row that a kernel needs before it can round any of them."""
    if row.sums is None:
        return 0
    scratch = operands(operator.args[row.sums])
    return max((each.shape[-1] * each.dtype.itemsize for each in scratch), default=0)


def integers_below(operator: Operator, row: Row, operand: Operand) -> int:
    """A number that all integers of an operand are below, as the call shows; 0 if it does not."""
    name, args = operator.name.split(".")[1], operator.args
    if row.index and row.index[0] < len(args) and args[row.index[0]] == operand:
        if name == "int8_labelled":
            return int(args[2])
        into = operator.results[0] if row.index[1] < 0 else args[row.index[1]]
        dimension = args[1] if isinstance(args[1], int) else 1
        return int(into.shape[dimension]) if into.shape else 0
    if name in {"random_", "remainder_"} and len(args) > 1:
        return int(args[-1])
    if name == "argmax" and len(args) > 1:
        return int(args[0].shape[args[1]])
    return 0


def _with_a_number(operator: Operator) -> bool:
    """Whether one of two operands is one number."""
    return any(
        isinstance(each, (int, float)) or (isinstance(each, Operand) and each.elements == 1)
        for each in operator.args[:2]
    )


def _one_per_row(operator: Operator) -> bool:
    """Whether a scatter sets one element of each row, which a comparison can tell."""
    index = operator.args[2]
    return bool(isinstance(index, Operand) and index.shape and index.shape[operator.args[1]] == 1)


_SCALING = {"add", "sub", "rsub", "mul", "div"}
_OTHER, _NOTHING = Row(Way.OTHER), Row(Way.NOTHING)
_MERE, _EACH, _SUM = Row(Way.MERE), Row(Way.EACH), Row(Way.SUM)
_ROWS = Row(Way.ROWS)
_ROOM, _DRAWN = Row(Way.ROOM, ignores=(0,)), Row(Way.DRAW, overwrites=(0,))
_PRODUCT = Row(Way.PRODUCT, accumulates=True)
_PICKED = Row(Way.MERE, index=(2, 0), replaces=())

_BY_WAY = {
    _MERE: "_to_copy clone gt ge lt le eq ne sign neg abs relu clamp clamp_min clamp_max where"
    " logical_not logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_not"
    " bitwise_right_shift bitwise_left_shift masked_fill threshold threshold_backward maximum"
    " minimum hardtanh hardtanh_backward",
    _EACH: "add sub rsub mul div reciprocal sqrt rsqrt exp expm1 log log1p tanh tanh_backward"
    " sigmoid sigmoid_backward silu_backward lerp addcmul addcdiv pow softplus softplus_backward"
    " round floor ceil trunc remainder erf gelu silu hardswish hardsigmoid leaky_relu elu",
    _ROWS: "_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data",
    _SUM: "sum mean amax amin max min linalg_vector_norm norm dot argmax argmin prod var std any"
    " all count_nonzero binary_cross_entropy_with_logits",
    _PRODUCT: "mm bmm addmm baddbmm mv addmv addr",
    Row(Way.FILL): "zeros full ones arange scalar_tensor",
    Row(Way.FILL, ignores=(0,)): "zeros_like ones_like full_like new_zeros new_full new_ones",
    Row(Way.FILL, overwrites=(0,)): "zero_ fill_",
    _ROOM: "empty empty_like empty_strided new_empty new_empty_strided",
    _DRAWN: "normal_ random_ uniform_ exponential_ bernoulli_",
    Row(Way.DRAW): "randn rand randint randperm",
    _PICKED: "gather index_select",
}

_TORCH = {
    **{name: row for row, names in _BY_WAY.items() for name in names.split()},
    "copy_": Row(Way.MERE, overwrites=(0,)),
    "cat": Row(Way.MERE, replaces=()),
    "scatter_": Row(Way.MERE, index=(2, 0), replaces=(0,)),
    "nll_loss_forward": Row(Way.SUM, index=(1, 0)),
    "nll_loss_backward": Row(Way.MERE, ignores=(1, 6), index=(2, -1)),
    "native_batch_norm": Row(Way.ROWS, replaces=(0,)),
    "native_batch_norm_backward": Row(Way.ROWS, replaces=(0, 1)),
}

_KERNELS = {
    # Element by element, and sums.
    "copy_patches": Row(Way.MERE, overwrites=(1,), replaces=()),
    "pack_columns": Row(Way.MERE, overwrites=(3,)),
    "int8_quantise": Row(Way.EACH, overwrites=(1,), replaces=(0,)),
    "drop_units": _EACH,
    "adam_step": _EACH,
    "sum_magnitudes": Row(Way.SUM, overwrites=(1,)),
    "column_means": Row(Way.SUM, overwrites=(1,)),
    "column_squares": Row(Way.SUM, overwrites=(1,)),
    "column_variances": Row(Way.SUM, overwrites=(2,)),
    "abs_of_others": _SUM,
    "draw_exponential": _DRAWN,
    "mostly_zeros": _NOTHING,  # whether a faster kernel of the same product pays off
    "int8_labelled": Row(Way.ROWS, overwrites=(8, 9), index=(1, 0), replaces=()),
    "int8_rescale": Row(Way.ROWS, overwrites=(6, 7), replaces=(0,)),
    # Products whose sums can be added up in the result: no workspace.
    "int8_linear": Row(Way.PRODUCT, overwrites=(2,), scratch=(3,), accumulates=True),
    "int8_grad_input": Row(Way.PRODUCT, overwrites=(2,), scratch=(3,), accumulates=True),
    "int8_grad_weight": Row(Way.PRODUCT, overwrites=(2,), scratch=(3,), accumulates=True),
    "add_by_lookup": Row(Way.PRODUCT, scratch=(5, 6), accumulates=True),
    "gradient_by_lookup": Row(Way.PRODUCT, overwrites=(3,), scratch=(4, 5), accumulates=True),
    "rectified_linear": Row(Way.PRODUCT, overwrites=(2,), accumulates=True),
    "add_rectified_product": _PRODUCT,
    # Products that read an element for many places; C convolves without columns.
    "int8_convolution": Row(Way.PRODUCT, overwrites=(2,), scratch=(9, 10, 11)),
    "int8_convolution_input": Row(Way.PRODUCT, overwrites=(2,), scratch=(9, 10, 11)),
    "int8_convolution_weight": Row(Way.PRODUCT, overwrites=(2,), scratch=(10, 11, 12, 13)),
    # Products whose sums are counted or rounded one by one, each in a register.
    "add_binary_product": Row(Way.PRODUCT),
    "add_sign_product": Row(Way.PRODUCT),
    "add_binary_patches": Row(Way.PRODUCT, scratch=(3,)),
    "descend_rectified": Row(Way.PRODUCT),
    "int8_moved_range": Row(Way.PRODUCT, scratch=(6, 7)),
    "int8_move": Row(Way.PRODUCT, scratch=(10, 11)),
    "int8_update_fp32": Row(Way.PRODUCT, scratch=(7, 8)),
    # Products that round a row by its largest sum: a row of sums is needed.
    "int8_forward": Row(Way.PRODUCT, overwrites=(8, 9, 10), scratch=(11, 12), sums=12),
    "int8_back": Row(Way.PRODUCT, overwrites=(13, 14, 15, 16), scratch=(17, 18, 19), sums=18),
    "int8_update": Row(Way.PRODUCT, scratch=(7, 8, 9), sums=8),
}

_TABLES = {"aten": _TORCH, "trainfit": _KERNELS}
