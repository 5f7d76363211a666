"""What a second thread is worth to compiled kernels, and to torch's, as deployed.

``pytest tests/benchmarks/test_threads.py --benchmark-only -o addopts="" -p no:cacheprovider``

The clock counts here: CPU time adds up over threads. Two idle cores are needed; on a busy machine
the table says that nothing is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.benchmarks import threads
from tests.benchmarks.ratios import Work, compare
from tests.reference_methods import algorithm_step
from trainfit.algorithms.numerics.int8.products import int8_linear

NET, ROWS, DEEP = "mlp-784-1000-1000-10", 32, "mlp-784-2000x4-10"
ASKED = ">= 1.6"

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="two threads need two cores"
)


def product() -> Callable[[], object]:
    """An INT8 product of a layer's size."""
    draws = torch.Generator().manual_seed(0)
    h_BI, w_OI = (
        torch.randint(-127, 128, shape, dtype=torch.int8, generator=draws)
        for shape in ((200, 2000), (2000, 2000))
    )
    return lambda: int8_linear(h_BI, w_OI)


MAKERS: dict[str, tuple[Callable[[], Callable[[], object]], str]] = {
    "int8_linear": (product, ASKED),
    "ff_int8": (lambda: algorithm_step("ff_int8", NET, ROWS).run, ASKED),
    "backprop_int8": (lambda: algorithm_step("backprop_int8", NET, ROWS).run, ASKED),
    "tinyfoa": (lambda: algorithm_step("tinyfoa", DEEP, 100, stage=1).run, ASKED),
    "backprop": (lambda: algorithm_step("backprop", NET, ROWS).run, ""),
}


@pytest.mark.parametrize("name", MAKERS)
def test_one_thread_beside_two(benchmark: Any, request: pytest.FixtureRequest, name: str) -> None:
    """The time with one thread over that with two: how many times as fast two are."""
    make, asked = MAKERS[name]
    run = make()

    (row,) = compare(
        benchmark,
        request,
        {"two_threads": Work(run, lambda: threads(2)), "one_thread": Work(run)},
        asked={"one_thread": asked},
        count=2,
    )

    assert row.found.wall.ratio > 0
