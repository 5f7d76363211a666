"""What a microcontroller is judged by is remembered whole: no trace is made again for it."""

from __future__ import annotations

import pytest

from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.memo.figures import StageFigures
from trainfit.bench.sizing.memo.stage import StagePrediction
from trainfit.bench.sizing.predicted_workload import PredictedWorkload
from trainfit.bench.trace.prediction import Prediction


def test_a_planned_arena_is_judged_without_a_trace() -> None:
    def trace() -> Prediction:
        pytest.fail("the step is traced")

    figures = StageFigures(100, 50, 0, 4, device_bytes=40, arena_bytes=44, arena_gap_bytes=4)
    workload = Workload(algorithm="backprop", model="mlp-8-4-2", dataset="none", batch_size=1)
    found = PredictedWorkload(workload, ("all",), [StagePrediction("all", figures, trace)])

    assert (found.planned.ram_bytes, found.ram_bytes) == (144, 150)
