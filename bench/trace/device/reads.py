"""How often an operator reads each element of an operand."""

from __future__ import annotations

import math

from trainfit.bench.trace.device.rows import Row, Way
from trainfit.bench.trace.trace import Operand, Operator, operands

MANY = 1 << 30
"""By something whose loops are not known here."""

_NEIGHBOURS = 9


def reads_of(operator: Operator, row: Row, operand: Operand) -> int:
    """Reads of an element: once by what goes from element to element, often by a product.

    Args:
        operator: The call.
        row: Its row in the operator table.
        operand: One of the tensors that it reads.
    """
    if operator.name == "trainfit.copy_patches.default":
        return _NEIGHBOURS
    if row.way in {Way.MERE, Way.EACH, Way.SUM}:
        return _in_rows(operator, operand)
    if row.way is Way.ROWS:
        return 2 * _in_rows(operator, operand)
    if row.way is Way.PRODUCT and operator.name.startswith("aten."):
        return _in_product(operator, operand)
    return MANY


def _in_rows(operator: Operator, operand: Operand) -> int:
    """Reads by a loop over rows of an operand that may stand for several elements.

    What is the same along a whole row is read once, at its start, and kept in a register; what is
    the same in every row is read once per row.
    """
    shape = max((each.shape for each in (*operator.given, *operator.results)), key=math.prod)
    own, strides = operand.shape, operand.strides
    if operand.elements <= 1 or len(own) > len(shape):
        return 1
    if operator.name.startswith("trainfit.") and len(own) == 1 and own[0] == shape[0]:
        return 1
    missing = len(shape) - len(own)
    own, strides = (1,) * missing + own, (0,) * missing + strides
    again, varies = 1, False
    for there, here, by in zip(reversed(shape), reversed(own), reversed(strides), strict=True):
        repeats = there > 1 and (here == 1 or by == 0)
        if repeats and varies:
            again *= there
        varies = varies or (there > 1 and not repeats)
    return again


def _in_product(operator: Operator, operand: Operand) -> int:
    """Reads by a product: once per row or column of the other operand."""
    name = operator.name.split(".")[1].rstrip("_")
    matrices = list(operands(operator.args))
    if name in {"addmm", "baddbmm", "addmv"} and operand == matrices[0]:
        return 1
    if name in {"mv", "addmv"}:
        return 1 if operand == matrices[-2] else matrices[-2].shape[0]
    if name in {"mm", "bmm", "addmm", "baddbmm"}:
        left, right = matrices[-2:]
        return right.shape[-1] if operand == left else left.shape[-2]
    return MANY
