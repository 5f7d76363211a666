"""Operators run alone: the allocator gives what the table of scratch says, and the result."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainfit.bench.profiler.session import _nodes, record
from trainfit.bench.trace.scratch import scratch_bytes

aten = torch.ops.aten

FLOAT, INT, LONG = (
    torch.ones(6, 7, dtype=kind) for kind in (torch.float32, torch.int32, torch.int64)
)

CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (aten.add.Tensor, (FLOAT, 1)),
    (aten.add.Tensor, (FLOAT, FLOAT)),
    (aten.add.Tensor, (INT, LONG)),
    (aten.mul.Tensor, (FLOAT, INT)),
    (aten.div.Tensor, (FLOAT, 3)),
    (aten.div.Tensor, (INT, 3)),
    (aten.div.Tensor, (INT, LONG)),
    (aten.eq.Scalar, (FLOAT, 1.0)),
    (aten.eq.Scalar, (LONG, 3)),
    (aten.eq.Tensor, (LONG, INT)),
    (aten.ne.Scalar, (FLOAT, 2)),
    (aten.bitwise_or.Scalar, (INT, 3)),
    (aten.bitwise_left_shift.Tensor_Scalar, (INT, 3)),
    (aten.bitwise_left_shift.Tensor_Scalar, (LONG, 3)),
    (aten.maximum.default, (FLOAT, LONG)),
    (aten.minimum.default, (FLOAT, LONG)),
    (aten.mean.default, (FLOAT,)),
    (aten.mean.dim, (FLOAT, [1])),
    (aten.repeat.default, (FLOAT, [2, 1])),
    (aten.repeat.default, (FLOAT, [2, 2, 2])),
    (aten._softmax.default, (FLOAT, 1, False)),
    (aten._softmax.default, (FLOAT.t(), 1, False)),
    (aten.relu.default, (FLOAT,)),
]


@pytest.mark.parametrize(("func", "args"), CASES, ids=lambda each: str(each)[:40])
def test_an_operator_allocates_its_result_and_its_scratch(func: Any, args: tuple[Any, ...]) -> None:
    results: list[torch.Tensor] = []
    level = peak = 0
    for node in _nodes(record(lambda: results.append(func(*args)))):
        level += node.size
        peak = max(peak, level)
    assert peak == results[0].nbytes + sum(scratch_bytes(func, args, {}))
