"""What straight-line C needs of an operator: which operands it reads, overwrites, may replace.

One row per operator, by its name without variant (``add`` is ``add``, ``add_`` and ``add.out``).
An operator that is not here reads all its operands, keeps what it changes where it is, and shares
nothing: so a stranger's operator makes the view larger, never wrong.

``reads``: how often an element of an operand is read. Element by element it is once; a sum reads
each once, a softmax a few times, a product once per row or column of the other operand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from trainfit.bench.trace.trace import Operand, Operator, operands

MANY = 1 << 30
"""Reads of an element by something whose loops are not known here."""


class Way(StrEnum):
    """How an operator computes its results."""

    MERE = "mere"  # an element from elements, by copying, comparing, unpacking, scaling
    EACH = "each"  # an element from elements at the same place, by arithmetic
    ROWS = "rows"  # sums along rows or columns first, then element by element
    SUM = "sum"  # sums, maxima: far fewer results than elements read
    PRODUCT = "product"  # each element is read for many results
    FILL = "fill"  # from nothing
    DRAW = "draw"  # from a random generator, whose order counts
    ROOM = "room"  # memory with nothing in it yet
    NOTHING = "nothing"  # asks something that C does not need to know
    OTHER = "other"


@dataclass(frozen=True)
class Row:
    """What is known of an operator.

    Attributes:
        way: How it computes.
        overwrites: Places of arguments whose old elements it does not read.
        ignores: Places of arguments of which it reads no element, only shapes.
        scratch: Places of workspace that C does not need.
        index: The place of labels or other indices, and the place of what they point into (-1:
            into the result).
        replaces: Places of operands that a result may replace, if they are as many; all that are
            read if None.
        sums: The place of workspace of which C needs one row.
    """

    way: Way
    overwrites: tuple[int, ...] = ()
    ignores: tuple[int, ...] = ()
    scratch: tuple[int, ...] = ()
    index: tuple[int, int] | None = None
    replaces: tuple[int, ...] | None = None
    sums: int | None = None


def row_of(operator: Operator) -> Row:
    """The table's row for a call."""
    space, _, rest = operator.name.partition(".")
    name = rest.partition(".")[0]
    if space not in {"aten", "trainfit"}:
        return _NOTHING if space == "profiler" else _OTHER
    row = _TABLE.get(name)
    if row is None and name.endswith("_"):
        row = _TABLE.get(name[:-1])
    if row is None:
        return _OTHER
    if name in _SCALING and _by_number(operator):
        return replace(row, way=Way.MERE)
    if name in {"addmm_", "baddbmm_", "addmv_"} and operator.kwargs.get("beta", 1) == 0:
        return replace(row, overwrites=(0,))
    return row


def _by_number(operator: Operator) -> bool:
    """Whether one of two operands is a number."""
    return any(
        isinstance(each, (int, float)) or (isinstance(each, Operand) and each.elements == 1)
        for each in operator.args[:2]
    )


def reads_of(operator: Operator, row: Row, operand: Operand) -> int:
    """How often the operator reads each element of an operand."""
    if operator.name in _NINE:
        return 9
    if row.way in {Way.MERE, Way.EACH, Way.SUM, Way.ROWS}:
        return _reads_in_loop(operator, operand) * (2 if row.way is Way.ROWS else 1)
    if row.way is Way.PRODUCT:
        return _reads_in_product(operator, operand)
    return MANY


def _reads_in_loop(operator: Operator, operand: Operand) -> int:
    """How often a loop over rows reads an element that stands for several.

    What is the same all along a row is read once, at its start; what is the same for all rows, once
    per row.
    """
    shape = max((each.shape for each in (*operator.given, *operator.results)), key=math.prod)
    if operand.elements <= 1 or len(operand.shape) > len(shape):
        return 1
    own, strides = operand.shape, operand.strides
    if operator.name.startswith("trainfit.") and len(own) == 1 and own[0] == shape[0]:
        return 1
    own = (1,) * (len(shape) - len(own)) + own
    strides = (0,) * (len(shape) - len(strides)) + strides
    again, varies = 1, False
    for there, here, by in zip(reversed(shape), reversed(own), reversed(strides), strict=True):
        repeats = there > 1 and (here == 1 or by == 0)
        if repeats and varies:
            again *= there
        varies = varies or (there > 1 and not repeats)
    return again


def _reads_in_product(operator: Operator, operand: Operand) -> int:
    name = operator.name.split(".")[1].rstrip("_")
    if not operator.name.startswith("aten."):
        return MANY
    matrices = [each for each in operands(operator.args)]
    if name in {"mm", "bmm"}:
        left, right = matrices[:2]
    elif name in {"addmm", "baddbmm"}:
        if operand == matrices[0]:
            return 1
        left, right = matrices[1:3]
    elif name in {"mv", "addmv"}:
        left, right = matrices[-2:]
        return 1 if operand == left else left.shape[0]
    else:
        return MANY
    return right.shape[-1] if operand == left else left.shape[-2]


_NINE = {"trainfit.copy_patches.default"}
_SCALING = {"mul", "mul_", "div", "div_", "add", "add_", "sub", "sub_", "rsub"}
_OTHER, _NOTHING = Row(Way.OTHER), Row(Way.NOTHING)
_EACH, _MERE, _SUM, _PRODUCT = Row(Way.EACH), Row(Way.MERE), Row(Way.SUM), Row(Way.PRODUCT)
_FILLED = Row(Way.FILL, overwrites=(0,))
_LIKE = Row(Way.FILL, ignores=(0,))
_ROOM = Row(Way.ROOM, ignores=(0,))
_DRAWN = Row(Way.DRAW, overwrites=(0,))

_TABLE: dict[str, Row] = {
    **dict.fromkeys(
        [
            "_to_copy", "clone", "contiguous", "gt", "ge", "lt", "le", "eq", "ne", "sign", "neg",
            "abs", "relu", "clamp", "clamp_min", "clamp_max", "logical_not", "logical_and",
            "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not",
            "bitwise_right_shift", "bitwise_left_shift", "where", "masked_fill", "threshold",
            "maximum", "minimum", "hardtanh", "hardtanh_backward", "threshold_backward",
        ],
        _MERE,
    ),
    **dict.fromkeys(
        [
            "add", "sub", "rsub", "mul", "div", "reciprocal", "sqrt", "rsqrt", "exp", "log",
            "tanh", "sigmoid", "tanh_backward", "sigmoid_backward", "lerp", "addcmul", "addcdiv",
            "pow", "softplus", "softplus_backward", "round", "floor", "ceil", "trunc",
            "remainder", "expm1", "log1p", "erf", "gelu", "silu", "hardswish", "hardsigmoid",
            "leaky_relu", "elu",
        ],
        _EACH,
    ),
    "copy_": Row(Way.MERE, overwrites=(0,)),
    **dict.fromkeys(
        ["sum", "mean", "amax", "amin", "linalg_vector_norm", "dot", "argmax", "argmin", "max",
         "min", "norm", "prod", "var", "std", "any", "all", "count_nonzero"],
        _SUM,
    ),
    **dict.fromkeys(
        ["mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "addr", "convolution"], _PRODUCT
    ),
    **dict.fromkeys(["zeros", "full", "ones", "arange", "scalar_tensor", "eye"], Row(Way.FILL)),
    **dict.fromkeys(["zeros_like", "ones_like", "full_like", "new_zeros", "new_full", "new_ones"],
                    _LIKE),
    **dict.fromkeys(["zero_", "fill_"], _FILLED),
    **dict.fromkeys(["empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided",
                     "lift_fresh"], _ROOM),
    **dict.fromkeys(["normal_", "random_", "uniform_", "exponential_", "draw_exponential"], _DRAWN),
    "bernoulli_": _DRAWN,
    **dict.fromkeys(["randn", "rand", "randint", "randperm"], Row(Way.DRAW)),
    "_softmax": Row(Way.ROWS),
    "_log_softmax": Row(Way.ROWS),
    "_log_softmax_backward_data": Row(Way.ROWS),
    "_softmax_backward_data": Row(Way.ROWS),
    "native_batch_norm": Row(Way.ROWS, replaces=(0,)),
    "native_batch_norm_backward": Row(Way.ROWS, replaces=(0, 1)),
    "binary_cross_entropy_with_logits": _SUM,
    "nll_loss_forward": Row(Way.SUM, index=(1, 0)),
    "nll_loss_backward": Row(Way.MERE, ignores=(1, 6), index=(2, -1)),
    "scatter_": Row(Way.MERE, index=(2, 0), replaces=(0,)),
    "gather": Row(Way.MERE, index=(2, 0), replaces=()),
    "index_select": Row(Way.MERE, index=(2, 0), replaces=()),
    "cat": Row(Way.MERE, replaces=()),
    # Kernels of the project.
    "copy_patches": Row(Way.MERE, overwrites=(1,), replaces=()),
    "pack_columns": Row(Way.MERE, overwrites=(3,)),
    "drop_units": _EACH,
    "sum_magnitudes": Row(Way.SUM, overwrites=(1,)),
    "abs_of_others": _SUM,
    "mostly_zeros": _NOTHING,
    "column_means": Row(Way.SUM, overwrites=(1,)),
    "column_variances": Row(Way.SUM, overwrites=(2,)),
    "column_squares": Row(Way.SUM, overwrites=(1,)),
    "adam_step": _EACH,
    "add_binary_product": _PRODUCT,
    "add_sign_product": _PRODUCT,
    "add_by_lookup": Row(Way.PRODUCT, scratch=(5, 6)),
    "gradient_by_lookup": Row(Way.PRODUCT, overwrites=(3,), scratch=(4, 5)),
    "add_binary_patches": Row(Way.PRODUCT, scratch=(3,)),
    "add_rectified_product": _PRODUCT,
    "descend_rectified": _PRODUCT,
    "rectified_linear": Row(Way.PRODUCT, overwrites=(2,)),
    "int8_linear": Row(Way.PRODUCT, overwrites=(2,), scratch=(3,)),
    "int8_grad_input": Row(Way.PRODUCT, overwrites=(2,), scratch=(3,)),
    "int8_grad_weight": Row(Way.PRODUCT, overwrites=(2,), scratch=(3,)),
    "int8_forward": Row(Way.PRODUCT, overwrites=(8, 9, 10), scratch=(11, 12), sums=12),
    "int8_rescale": Row(Way.ROWS, overwrites=(6, 7), replaces=(0,)),
    "int8_back": Row(Way.PRODUCT, overwrites=(13, 14, 15, 16), scratch=(17, 18, 19), sums=18),
    "int8_update": Row(Way.PRODUCT, scratch=(7, 8, 9), sums=8),
    "int8_moved_range": Row(Way.PRODUCT, scratch=(6, 7)),
    "int8_move": Row(Way.PRODUCT, scratch=(10, 11)),
    "int8_update_fp32": Row(Way.PRODUCT, scratch=(7, 8)),
    "int8_quantise": Row(Way.EACH, overwrites=(1,), replaces=(0,)),
    "int8_labelled": Row(Way.ROWS, overwrites=(8, 9), index=(1, 0), replaces=()),
}


def row_of_sums(operator: Operator, row: Row) -> int:
    """Bytes of the sums that a kernel keeps of one row before it can round any of them."""
    if row.sums is None:
        return 0
    return max(
        (each.shape[-1] * each.dtype.itemsize for each in operands(operator.args[row.sums])),
        default=0,
    )


def below(operator: Operator, row: Row, operand: Operand) -> int:
    """What an operator shows of integers: all are smaller than this; 0 if it shows nothing."""
    name = operator.name.split(".")[1]
    args = operator.args
    if row.index and row.index[0] < len(args) and args[row.index[0]] == operand:
        if name == "int8_labelled":
            return int(args[2])
        into = operator.results[0] if row.index[1] < 0 else args[row.index[1]]
        dimension = args[1] if isinstance(args[1], int) else 1
        return int(into.shape[dimension])
    if name == "random_" and len(args) == 3:
        return int(args[2])
    if name == "random_" and len(args) == 2:
        return int(args[1])
    if name == "remainder_":
        return int(args[1])
    if name == "argmax":
        return int(args[0].shape[args[1]]) if len(args) > 1 else 0
    return 0
