"""How long the inverse question takes, and what to train on every board.

``pytest tests/benchmarks/test_fit.py --benchmark-only -o addopts="" -p no:cacheprovider``

Nothing of the times is asserted. Both are taken in a process that has imported torch and the
algorithms; the command itself takes the seconds of that import on top.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.benchmarks import conclude, interleave
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Dimension, Largest, largest
from trainfit.bench.sizing.recommend import Candidate, candidates, forms, grid
from trainfit.hardware_profiles import Budgets, device_names, load_device

RULES = ("backprop", "ff_int8", "forward_forward", "pepita", "tinyfoa")
MANY = (*RULES, "backprop_int8", "dfa", "local_head", "sparse_update", "zeroth_order")
MODEL = "mlp-64-128x2-10"
TARGET_SECONDS = {"largest": 2.0, "recommend": 10.0}
ROUNDS = 3


@pytest.mark.parametrize("dimension", Dimension)
def test_largest(benchmark: Any, request: pytest.FixtureRequest, dimension: Dimension) -> None:
    """Of five rules on a board with room for it, without the confirming measurement."""
    device = load_device("stm32h743")

    def find(rule: str) -> Largest:
        workload = Workload(algorithm=rule, model=MODEL, dataset="none", batch_size=32)
        return largest(workload, device, dimension)

    watch = interleave(benchmark, {rule: partial(find, rule) for rule in RULES}, rounds=ROUNDS)

    slowest = max(watch.median(rule) for rule in RULES)
    conclude(request, benchmark, slowest_seconds=slowest, seconds_target=TARGET_SECONDS["largest"])
    for rule in RULES:
        found = find(rule)
        assert found.size is not None


def test_recommend(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """Ten rules on twenty sizes, held against every packaged device."""
    sizes = grid(MANY, 784, 10, dataset="mnist", batch_size=32)
    devices = [load_device(name) for name in device_names()]
    found: list[Candidate] = []

    def judge() -> None:
        made = forms(sizes)
        found[:] = [
            each for device in devices for each in candidates([], sizes, device, Budgets(), made)
        ]

    watch = interleave(benchmark, {"recommend": judge}, rounds=ROUNDS)

    conclude(
        request,
        benchmark,
        candidates=len(found),
        devices=len(devices),
        seconds=watch.median("recommend"),
        seconds_target=TARGET_SECONDS["recommend"],
    )
    assert len(found) == len(sizes) * len(devices)
