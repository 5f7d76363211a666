"""How long the trace of a step takes: every rule with every listed option set, at every stage.

``pytest tests/benchmarks/test_traces.py --benchmark-only -o addopts="" -p no:cacheprovider``

CPU time on one thread, the best of three after one trace that imports what it needs; nothing of it
is asserted. How many operators a trace has is (``tests/contract/test_trace_in_parts.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.benchmarks import conclude
from tests.builders.vision_nets import mobilenet_v2
from tests.contract.cases import ON_NETS, id_of
from trainfit.algorithms import build_on_meta
from trainfit.bench.profiler.determinism import pinned
from trainfit.bench.sizing.own_net.finding import made_step
from trainfit.bench.sizing.own_net.question import OwnNet
from trainfit.bench.trace.strangers.answers import ONES
from trainfit.bench.trace.strangers.settling import trace_step
from trainfit.bench.trace.tracing import trace_stage

NETS = {"mlp": "mlp-784-2000x4-10", "lc": "lc-1x28x28-16-32-10"}
BATCH = 100
ROUNDS = 3
TARGET_MILLISECONDS = 150
NET_TARGET_MILLISECONDS = 500


class Traced(NamedTuple):
    """One stage of one option set."""

    milliseconds: float
    operators: int
    case: str


def traced(rule: str) -> Iterator[Traced]:
    """Every stage of every option set of a rule."""
    for name, options, model in ON_NETS:
        if name != rule:
            continue
        family = model.split("-")[0]
        algorithm = build_on_meta(name, NETS[family], options)
        for index, stage in enumerate(algorithm.stages):
            algorithm.enter_stage(index)
            operators = len(trace_stage(algorithm, BATCH).operators)
            spent = []
            for _ in range(ROUNDS):
                start = time.process_time()
                trace_stage(algorithm, BATCH)
                spent.append(1e3 * (time.process_time() - start))
            yield Traced(min(spent), operators, id_of(name, options, family, stage))


@pytest.mark.parametrize("rule", sorted({name for name, *_ in ON_NETS}))
def test_traces(benchmark: Any, request: pytest.FixtureRequest, rule: str) -> None:
    """The slowest trace of a rule, and the one of most operators."""
    found: list[Traced] = []

    def trace_all() -> None:
        found[:] = traced(rule)

    with pinned():
        benchmark.pedantic(trace_all, rounds=1)

    slowest, longest = max(found), max(found, key=lambda each: each.operators)
    conclude(
        request,
        benchmark,
        traces=len(found),
        slowest=slowest.case,
        milliseconds=round(slowest.milliseconds, 1),
        milliseconds_target=TARGET_MILLISECONDS,
        most_operators=longest.operators,
        of=longest.case,
    )


def test_a_net_of_ones_own(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """MobileNet-V2 under momentum, from making it until two steps were alike."""
    net = OwnNet("tests.builders.vision_nets:mobilenet_v2", (3, 32, 32))
    make = partial(made_step, net, mobilenet_v2, 8)
    spent = []

    def trace_all() -> None:
        for _ in range(ROUNDS + 1):  # the first imports what it needs
            start = time.process_time()
            trace_step(None, make, ONES, steps=1, warmup=1)
            spent.append(1e3 * (time.process_time() - start))

    benchmark.pedantic(trace_all, rounds=1)

    conclude(
        request,
        benchmark,
        milliseconds=round(min(spent[1:]), 1),
        milliseconds_target=NET_TARGET_MILLISECONDS,
    )
