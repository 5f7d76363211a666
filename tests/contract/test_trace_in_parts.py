"""A trace that is shown loops in part says what one of all their rounds says, at any size."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from tests.contract.cases import FEW, FEW_IDS, ON_NETS, ON_NETS_IDS
from trainfit.algorithms import Algorithm, Category, build_on_meta
from trainfit.algorithms.memory.meta import WithoutValues
from trainfit.algorithms.phases import observing
from trainfit.algorithms.tiling import Repeating
from trainfit.bench.trace.recorder import Recorder
from trainfit.bench.trace.trace import Trace
from trainfit.bench.trace.tracing import trace_stage

ROWS = 37  # prime: the last tile is smaller

WIDE = {
    "mlp-24-16-32-8-4": ("mlp-784-4000x4-10", 500),
    "lc-1x6x6-4-8-4": ("lc-1x28x28-64-64-10", 200),
    "cnn-1x6x6-c4-i4-r8s2-4": ("cnn-3x32x32-c60-i60-r120s2-10", 200),
}
"""Nets of the same families with many tiles in every loop, and the rows of a batch."""

MOST_OPERATORS = 2000
"""Of a wide net's step, with every option set that is listed: a few hundred a layer."""


class AllRounds:
    """An observer that writes down what a recorder does, and is shown every round of a loop."""

    def __init__(self, recorder: Recorder) -> None:
        self.enter, self.leave, self.tag = recorder.enter, recorder.leave, recorder.tag


def traced_whole(algorithm: Algorithm[Any], rows: int) -> Trace:
    """The trace of a step with all rounds of its loops."""
    with torch.device("meta"):
        x, y = torch.empty(rows, algorithm.model.inputs), torch.empty(rows, dtype=torch.int64)
        with WithoutValues(answers=True):
            x = algorithm.stage_data(x)
        recorder = Recorder()
        for held in algorithm.static_tensors():
            recorder.adopt(held.tensor, str(held.category), held.name)
        recorder.adopt(x, str(Category.INPUTS), "x")
        recorder.adopt(y, str(Category.INPUTS), "y")
        with observing(AllRounds(recorder)), recorder:
            recorder.begin(closed=True)
            algorithm.step(x, y)
            return recorder.finish()


def work(trace: Trace) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Calls, and elements of operands and results, of every operator in every phase."""
    calls: Counter[tuple[str, str]] = Counter()
    elements: Counter[tuple[str, str]] = Counter()
    for each in trace.operators:
        size = sum(operand.elements for operand in (*each.given, *each.results))
        calls[each.name, each.phase] += each.times
        elements[each.name, each.phase] += each.times * size
    return calls, elements


def test_the_observer_of_all_rounds_is_shown_them() -> None:
    assert isinstance(Recorder(), Repeating)
    assert not isinstance(AllRounds(Recorder()), Repeating)


@pytest.mark.parametrize(("name", "options", "model"), ON_NETS, ids=ON_NETS_IDS)
def test_calls_elements_and_bytes_are_those_of_all_rounds(
    name: str, options: dict[str, Any], model: str
) -> None:
    algorithm, same = (build_on_meta(name, model, options) for _ in range(2))  # a first step each
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        same.enter_stage(index)
        short, whole = trace_stage(algorithm, ROWS), traced_whole(same, ROWS)
        assert work(short) == work(whole), stage
        assert short.torch_view.peak_dynamic_bytes == whole.torch_view.peak_dynamic_bytes
        assert all(each.times == 1 for each in whole.operators)


@pytest.mark.parametrize(("name", "options", "model"), FEW, ids=FEW_IDS)
def test_a_trace_of_a_wide_net_is_no_longer(name: str, options: dict[str, Any], model: str) -> None:
    net, rows = WIDE[model]
    algorithm = build_on_meta(name, net, options)
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        trace = trace_stage(algorithm, rows)
        assert len(trace.operators) <= MOST_OPERATORS, stage
