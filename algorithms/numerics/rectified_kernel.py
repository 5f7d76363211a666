"""Products with many zeros on the left, and the step that one leads to, compiled with numba.

A call is for one thread and a range of the target's rows, or of the outputs. Nothing is allocated:
lists and blocks of at most 17 KiB are on the stack.

Shape suffixes: K the dimension that is summed over, O rows of the target, I columns; R rows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trainfit.algorithms.numerics.compiled import compiled
from trainfit.algorithms.numerics.rectified_code import (
    LANES,
    narrow_block,
    single_block,
    stack,
    stack_of_floats,
    wide_block,
)
from trainfit.algorithms.numerics.rectified_linear_code import (
    BLOCK,
    add_narrow,
    add_wide,
    speaking,
    turn,
)

_ROWS = 8
"""Rows of the target that share what is read of the right factor while it is in the cache."""

_INNER = 128
"""Rows of the factors whose entries are listed at a time: 12 KiB on the stack."""

_LISTED = _ROWS * _INNER
_TURNED = BLOCK * BLOCK


@compiled(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1],"
    " UniTuple(float64, 4), boolean, int64, int64)",
    nogil=True,
    error_model="numpy",
)
def descend_rows(  # noqa: PLR0917
    left_KO: Any,
    right_KI: Any,
    target_OI: Any,
    parameter_OI: Any,
    numbers: Any,
    moves: Any,
    start: Any,
    stop: Any,
) -> None:  # pragma: no cover  (compiled)
    """Rows ``start`` to ``stop`` of ``target <- keep target + alpha left^T right``.

    If ``moves``, each entry is then finished as in ``rectified_code.wide_block``.
    """
    offsets = numba.carray(stack(_LISTED), (_LISTED,))
    values = numba.carray(stack_of_floats(_LISTED), (_LISTED,))
    counts = numba.carray(stack(_ROWS), (_ROWS,))
    inner, inputs = right_KI.shape
    alpha, decay, rate = np.float32(numbers[1]), np.float32(numbers[2]), np.float32(numbers[3])
    for first in range(0, inner, _INNER):
        end = min(first + _INNER, inner)
        keep = np.float32(numbers[0] if first == 0 else 1.0)
        last = moves and end == inner
        rates = (keep, decay, rate)
        for base in range(start, stop, _ROWS):
            rows = min(_ROWS, stop - base)
            for u in range(rows):
                counts[u] = 0
            for k in range(first, end):
                for u in range(rows):
                    value = left_KO[k, base + u]
                    at = u * _INNER + counts[u]
                    offsets[at] = k * inputs
                    values[at] = alpha * value
                    counts[u] += value != 0
            column = 0
            while column + BLOCK <= inputs:
                for u in range(rows):
                    wide_block(
                        right_KI,
                        target_OI,
                        parameter_OI,
                        offsets,
                        values,
                        u * _INNER,
                        counts[u],
                        base + u,
                        column,
                        rates,
                        last,
                    )
                column += BLOCK
            while column + LANES <= inputs:
                for u in range(rows):
                    narrow_block(
                        right_KI,
                        target_OI,
                        parameter_OI,
                        offsets,
                        values,
                        u * _INNER,
                        counts[u],
                        base + u,
                        column,
                        rates,
                        last,
                    )
                column += LANES
            while column < inputs:
                for u in range(rows):
                    single_block(
                        right_KI,
                        target_OI,
                        parameter_OI,
                        offsets,
                        values,
                        u * _INNER,
                        counts[u],
                        base + u,
                        column,
                        rates,
                        last,
                    )
                column += 1


@compiled("int64(float32[:, ::1])", nogil=True, error_model="numpy")
def count_nonzero(left_KO: Any) -> Any:  # pragma: no cover  (compiled)
    """How many entries are not zero."""
    total = 0
    for k in range(left_KO.shape[0]):
        found = np.int32(0)
        for o in range(left_KO.shape[1]):
            found += np.int32(left_KO[k, o] != 0)
        total += int(found)
    return total


@compiled(
    "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], int64, int64)",
    nogil=True,
    error_model="numpy",
)
def linear_outputs(
    h_RI: Any, w_OI: Any, z_RO: Any, start: Any, stop: Any
) -> None:  # pragma: no cover  (compiled)
    """Columns ``start`` to ``stop`` of ``z = h w^T``; inputs and outputs are multiples of LANES."""
    block_T = numba.carray(stack_of_floats(_TURNED), (_TURNED,))
    masks = numba.carray(stack(_INNER), (_INNER,))
    rows, inputs = h_RI.shape
    for first in range(0, rows, _INNER):
        end = min(first + _INNER, rows)
        for column in range(0, inputs, BLOCK):
            columns = min(BLOCK, inputs - column)
            for r in range(first, end):
                mask = np.int64(0)
                for k in range(0, columns, LANES):
                    mask |= speaking(h_RI, r, column + k) << k
                masks[r - first] = mask
            output = start
            while output < stop:
                width = BLOCK if output + BLOCK <= stop else LANES
                for k in range(0, columns, LANES):
                    for o in range(0, width, LANES):
                        turn(w_OI, output + o, column + k, block_T, k * BLOCK + o)
                for r in range(first, end):
                    mask, fresh = masks[r - first], column == 0
                    if width == BLOCK:
                        add_wide(h_RI, mask, r, column, block_T, z_RO, output, fresh)
                    else:
                        add_narrow(h_RI, mask, r, column, block_T, z_RO, output, fresh)
                output += width
