"""Records with stages, run folders and goldens for the tests of the gate; nothing is measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.builders.runs import memory, record
from trainfit.bench.gate.figures import StepFigures, figures_of_record
from trainfit.bench.gate.golden import Conditions, Golden
from trainfit.bench.records.schema import (
    PhaseMemory,
    PhaseOperations,
    Record,
    Residual,
    StageMemory,
    StageOperations,
    TensorBytes,
)

KEY = "backprop mlp-64-10 digits b32"
"""What :func:`whole` is called in a golden."""

ENVIRONMENT: dict[str, Any] = {
    "versions": {"trainfit": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "machine": {"architecture": "x86_64", "cpu_capability": "AVX2"},
}


def tensors(*named: tuple[str, int, str]) -> list[TensorBytes]:
    return [TensorBytes(name=name, bytes=size, category=of) for name, size, of in named]


def phases(weight: int = 4_000) -> dict[str, PhaseMemory]:
    """A gradient of ``weight`` bytes over activations of 600, then its update."""
    activation = ("addmm float32 32x10", 600, "activations")
    gradient = ("mm float32 10x64", weight, "gradients")
    return {
        "forward": PhaseMemory(
            peak_bytes=600,
            entry_bytes=0,
            exit_bytes=600,
            categories={"activations": 600},
            predicted_bytes=600,
            device_bytes=600,
            peak_tensors=tensors(activation),
        ),
        "gradient": PhaseMemory(
            peak_bytes=weight + 600,
            entry_bytes=600,
            exit_bytes=weight,
            categories={"activations": 600, "gradients": weight},
            predicted_bytes=weight + 600,
            device_bytes=weight + 600,
            peak_tensors=tensors(gradient, activation),
        ),
        "update": PhaseMemory(
            peak_bytes=weight,
            entry_bytes=weight,
            exit_bytes=0,
            categories={"gradients": weight},
            predicted_bytes=weight,
            device_bytes=weight,
            peak_tensors=tensors(gradient),
        ),
    }


def stage(found: dict[str, PhaseMemory] | None = None, **changes: Any) -> StageMemory:
    found = found or phases()
    peak = max(phase.peak_bytes for phase in found.values())
    values: dict[str, Any] = {
        "stage": "all",
        "static_bytes": 9_000,
        "static_categories": {"inputs": 1_000, "optimizer_state": 4_000, "parameters": 4_000},
        "storage_bytes": 0,
        "peak_dynamic_bytes": peak,
        "peak_phase": "gradient",
        "predicted_bytes": peak,
        "predicted_static_bytes": 9_000,
        "device_bytes": peak,
        "deterministic": True,
        "phases": found,
        "peak_tensors": found["gradient"].peak_tensors,
        "residual": Residual(unexplained_bytes=0, left_after_step_bytes=0),
    }
    return StageMemory(**values | changes)


def operations(macs: int = 20_480, **changes: Any) -> StageOperations:
    values: dict[str, Any] = {
        "stage": "all",
        "phases": {
            "forward": PhaseOperations(
                macs={"fp32": macs}, elementwise={"fp32": {"add": 320}}, calls={"product": 1}
            ),
            "update": PhaseOperations(macs={}, elementwise={"fp32": {"add": 650}}),
        },
    }
    return StageOperations(**values | changes)


def whole(at: StageMemory | None = None, *, macs: int = 20_480, **changes: Any) -> Record:
    """A record with one stage, as a run has it."""
    at = at or stage()
    values: dict[str, Any] = {
        "operations": [operations(macs)],
        "memory": memory(
            static=at.static_bytes,
            peak=at.peak_dynamic_bytes,
            closed=at.predicted_bytes,
            phases=at.phases,
            worst_stage=at.stage,
            stages=[at],
            deterministic=at.deterministic,
            device_bytes=at.device_bytes,
        ),
    }
    return record(**values | changes)


def entry(at: StageMemory | None = None, *, macs: int = 20_480) -> StepFigures:
    """What the gate makes of such a record."""
    made = whole(at, macs=macs)
    assert made.memory is not None
    return figures_of_record(made.memory, made.operations)


def golden(
    *rules: dict[str, Any], torch: str | tuple[str, ...] = "2.13.0", **workloads: StepFigures
) -> Golden:
    """A golden with one workload, :data:`KEY`, unless others are named."""
    return Golden.model_validate(
        {
            "conditions": Conditions(torch=torch),
            "rules": list(rules),
            "workloads": workloads or {KEY: entry()},
        }
    )


def write_run(
    folder: Path, records: Iterable[Record], *, environment: dict[str, Any] | None = None
) -> Path:
    """A run folder as a suite leaves it."""
    folder.mkdir(parents=True)
    (folder / "suite.json").write_text(json.dumps({"name": "small"}))
    (folder / "environment.json").write_text(json.dumps(environment or ENVIRONMENT))
    lines = (made.model_dump_json(by_alias=True) + "\n" for made in records)
    (folder / "records.jsonl").write_text("".join(lines))
    return folder
