"""Small workloads on digits, and records of their training."""

from __future__ import annotations

from typing import Any

from tests.builders.runs import record
from trainfit.bench.records.schema import Accuracy, Record, Workload
from trainfit.bench.sizing.grid import Family


def workload(algorithm: str = "backprop", **changes: Any) -> Workload:
    values = {"model": "mlp-64-32-10", "dataset": "digits", "batch_size": 8}
    return Workload(algorithm=algorithm, **values | changes)


def measured(accuracy: float | None, **changes: Any) -> Record:
    result = None
    if accuracy is not None:
        result = Accuracy(test_accuracy=accuracy, epochs=3, train_seconds=1.0)
    return record(accuracy=result).model_copy(update={"workload": workload(**changes)})


def alone(each: Workload) -> Family:
    """A family of one."""
    return Family(each.algorithm, 1, [[each]])
