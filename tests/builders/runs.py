"""Small records, suites and listeners for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainfit.bench.records.schema import (
    Accuracy,
    ErrorRecord,
    Evidence,
    Latency,
    Memory,
    PhaseLatency,
    PhaseMemory,
    Record,
    RecordStatus,
    Residual,
    StageMemory,
    Workload,
)
from trainfit.bench.suite.suite import Suite, parse_suite

PLUGINS = Path(__file__).parent.parent / "plugins"


def workload(**changes: Any) -> Workload:
    values: dict[str, Any] = {
        "algorithm": "backprop",
        "model": "mlp-64-10",
        "dataset": "digits",
        "batch_size": 32,
    }
    return Workload(**values | changes)


def memory(static: int = 3_000, peak: int = 1_000, closed: int = 1_000, **changes: Any) -> Memory:
    phases = {
        "forward": PhaseMemory(
            peak_bytes=600, entry_bytes=0, exit_bytes=500, categories={"activations": 600}
        ),
        "gradient": PhaseMemory(
            peak_bytes=peak,
            entry_bytes=500,
            exit_bytes=0,
            categories={"gradients": peak - 400, "activations": 400},
            predicted_bytes=closed,
        ),
    }
    figures: dict[str, Any] = {
        "static_bytes": static,
        "storage_bytes": 0,
        "peak_dynamic_bytes": peak,
        "peak_phase": "gradient",
        "predicted_bytes": closed,
        "device_bytes": 900,
        "arena_bytes": None,
        "deterministic": True,
        "phases": phases,
        "residual": Residual(unexplained_bytes=peak - closed, left_after_step_bytes=0),
    }
    figures |= {name: changes.pop(name) for name in list(changes) if name in figures}
    stage = StageMemory(
        stage="all",
        static_categories={},
        predicted_static_bytes=static,
        peak_tensors=[],
        **figures,
    )
    values = {"evidence": Evidence.ALLOCATOR, "worst_stage": "all", "stages": [stage]}
    return Memory(**values | changes)


def record(
    *, options: dict[str, Any] | None = None, batch_size: int = 32, **changes: Any
) -> Record:
    values: dict[str, Any] = {
        "workload": workload(options=options or {}, batch_size=batch_size),
        "status": RecordStatus.OK,
        "memory": memory(),
        "latency": Latency(
            evidence=Evidence.CLOCK,
            step_seconds_median=0.00125,
            step_seconds_iqr=0.0001,
            steps=50,
            threads=1,
            onednn=True,
            phases={"forward": PhaseLatency(seconds_median=0.0005, seconds_iqr=0.0)},
        ),
        "accuracy": Accuracy(
            test_accuracy=0.9125, epochs=2, train_seconds=0.5, curve=[0.8, 0.9125]
        ),
        "seconds": 1.5,
    }
    return Record(**values | changes)


def failed(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "status": RecordStatus.FAILED,
        "memory": None,
        "latency": None,
        "accuracy": None,
        "error": ErrorRecord(type="ValueError", message="no [red]luck[/red]", where="a.py:3 step"),
    }
    return record(**values | changes)


def suite(*workloads: str, **changes: Any) -> Suite:
    """A suite of one workload per algorithm, on a net without hidden layers."""
    text = 'name = "small"\n[defaults]\nmodel = "mlp-64-10"\ndataset = "digits"\nbatch_size = 32\n'
    text += "".join(f'[[workload]]\nalgorithm = "{name}"\n' for name in workloads)
    values = {"devices": ["stm32f407"], **changes}
    return parse_suite(text, source="small.toml", folder=Path()).model_copy(update=values)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.started_labels: list[str] = []
        self.finished_numbers: list[int] = []
        self.parts: list[str] = []

    def checking(self) -> None:
        self.parts.append("checking")

    def started(self, number: int, total: int, workload: Workload) -> None:
        self.started_labels.append(f"{number}/{total} {workload.algorithm}")

    def doing(self, what: str) -> None:
        self.parts.append(what)

    def finished(self, number: int, record: Record) -> None:
        self.finished_numbers.append(number)
