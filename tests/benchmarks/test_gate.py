"""Reading a thousand records, and gating them as a command, starting Python included.

``pytest tests/benchmarks/test_gate.py --benchmark-only -o addopts="" -p no:cacheprovider``
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import conclude, interleave
from trainfit.algorithms import build_algorithm
from trainfit.bench.environment import describe_environment
from trainfit.bench.frames.sources import load_run
from trainfit.bench.gate.compare import GateResult
from trainfit.bench.gate.golden import read_golden
from trainfit.bench.gate.run import gate, read_run, update_golden
from trainfit.bench.records.schema import Record, RecordStatus, StageOperations, Workload
from trainfit.bench.run.memory import measure_memory
from trainfit.bench.trace.prediction import predict

RULES = ("backprop", "forward_forward", "tinyfoa")
MODEL = "mlp-64-128-128-10"
ROWS = 32
RECORDS = 1_000
TARGET_SECONDS = 2.0


def record_of(rule: str) -> Record:
    """As a run has it."""
    algorithm = build_algorithm(rule, MODEL, {})
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(ROWS, 64, generator=draws)
    y = torch.randint(0, 10, (ROWS,), generator=draws)
    memory = measure_memory(algorithm, x, y)
    operations = []
    for index, stage in enumerate(algorithm.stages):
        algorithm.enter_stage(index)
        plan = predict(algorithm, ROWS)
        operations.append(StageOperations.of(stage, plan.operations.phases, plan.static_bytes))
    workload = Workload(algorithm=rule, model=MODEL, dataset="digits", batch_size=ROWS)
    status = RecordStatus.OK
    return Record(workload=workload, status=status, operations=operations, memory=memory, seconds=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a thousand workloads that differ in their seed, and its golden beside it."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "suite.json").write_text('{"name": "gate"}')
    (folder / "environment.json").write_text(json.dumps(describe_environment()))
    made = [record_of(rule) for rule in RULES]
    with (folder / "records.jsonl").open("w") as stream:
        for seed in range(RECORDS):
            record = made[seed % len(made)]
            workload = record.workload.model_copy(update={"seed": seed})
            line = record.model_copy(update={"workload": workload}).model_dump_json(by_alias=True)
            stream.write(line + "\n")
    update_golden(read_run(folder), folder / "golden.json")
    return folder


def test_frames(benchmark: Any, request: pytest.FixtureRequest, run: Path) -> None:
    """One row per workload, and one per figure of a stage or phase."""
    works = {source: partial(load_run, run, source) for source in ("records", "values")}
    watch = interleave(benchmark, works, rounds=5)

    conclude(
        request,
        benchmark,
        records=RECORDS,
        seconds=watch.median("records"),
        seconds_of_values=watch.median("values"),
        seconds_target=TARGET_SECONDS,
    )
    assert len(load_run(run)) == RECORDS


def test_gate(benchmark: Any, request: pytest.FixtureRequest, run: Path) -> None:
    """The command, and the same in a process that has everything imported."""
    command = [sys.executable, "-m", "trainfit.bench.cli.main", "gate", str(run), "--golden"]

    def as_command() -> None:
        subprocess.run([*command, str(run / "golden.json")], check=True, capture_output=True)

    def as_function() -> GateResult:
        return gate(read_golden(run / "golden.json"), read_run(run))

    works = {"command": as_command, "function": as_function}
    watch = interleave(benchmark, works, rounds=5)

    conclude(
        request,
        benchmark,
        records=RECORDS,
        record_bytes=(run / "records.jsonl").stat().st_size // RECORDS,
        golden_bytes=(run / "golden.json").stat().st_size,
        seconds=watch.median("command"),
        seconds_target=TARGET_SECONDS,
    )
    result = as_function()
    assert (len(result.compared), result.exit_code) == (RECORDS, 0)
