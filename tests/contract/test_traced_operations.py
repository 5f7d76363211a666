"""The arithmetic of rules on nets that are wide enough for tiles and lookups, from their traces.

What each operator computes is tested by hand in ``tests/unit/trace/test_operations.py``, and
products against torch's own counter in ``test_operations.py``. These totals were those of a count
that followed the rules' equations, and of which the trace was independent.
"""

from __future__ import annotations

from typing import Any

import pytest

from trainfit.algorithms import build_on_meta
from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.bench.trace.operations import operations_of
from trainfit.bench.trace.tracing import trace_stage

FP32, INT8 = NumberFormat.FP32, NumberFormat.INT8
BINARY, FP32_BINARY = NumberFormat.BINARY, NumberFormat.FP32_BINARY
BOTH = {"weights": "binary", "activations": "binary"}

CASES: list[tuple[str, dict[str, Any], str, dict[NumberFormat, tuple[int, int, int]], int]] = [
    # by number format: multiply-accumulates, elements read, elements written; element operations
    (
        "backprop",
        {"optimizer": "adam"},
        "mlp-200-150-100-10",
        {FP32: (1_296_000, 77_240, 52_120)},
        568_320,
    ),
    (
        "backprop",
        BOTH,
        "mlp-200-144-96-10",
        {
            FP32: (357_120, 5_208, 29_952),
            FP32_BINARY: (700_416, 52_440, 18_360),
            BINARY: (165_888, 15_552, 1_152),
        },
        481_464,
    ),
    (
        "drtp",
        BOTH,
        "mlp-200-144-96-10",
        {
            FP32: (345_600, 23_328, 28_800),
            FP32_BINARY: (534_528, 46_104, 16_632),
            BINARY: (165_888, 15_552, 1_152),
        },
        468_798,
    ),
    (
        "tinyfoa",
        {},
        "mlp-784-256-128-10",
        {
            FP32: (7_680, 760, 768),
            FP32_BINARY: (2_522_112, 215_232, 11_384),
            BINARY: (393_216, 35_840, 1_536),
        },
        156_628,
    ),
    ("ff_int8", {}, "mlp-784-256-128-10", {INT8: (11_206_656, 292_608, 242_688)}, 2_214_277),
    ("backprop_ui8", {}, "mlp-784-256-128-10", {INT8: (6_042_624, 491_952, 244_088)}, 3_029_509),
]


@pytest.mark.parametrize(
    ("name", "options", "model", "products", "elements"), CASES, ids=[each[0] for each in CASES]
)
def test_totals_of_the_last_stage(
    name: str,
    options: dict[str, Any],
    model: str,
    products: dict[NumberFormat, tuple[int, int, int]],
    elements: int,
) -> None:
    algorithm = build_on_meta(name, model, options)
    algorithm.enter_stage(len(algorithm.stages) - 1)
    total = operations_of(trace_stage(algorithm, 12)).total()
    assert {
        each: (macs, total.operands[each], total.results[each])
        for each, macs in total.macs.items()
        if macs
    } == products
    assert total.elementwise.total() == elements
