from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from results_table import document
from tests.builders.runs import record, workload
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.schema import Accuracy, ErrorRecord, RecordStatus, StageOperations
from trainfit.bench.suite.suite import load_suite

RESULTS = Path(__file__).parents[3] / "results"

SUITE = """
name = "small"
description = "Two seeds"
[defaults]
model = "mlp-64-8-10"
dataset = "digits"
batch_size = 10
[[workload]]
algorithm = "drtp"
"""


def folder(tmp_path: Path, *records: object) -> Path:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "small.toml").write_text(SUITE)
    (tmp_path / "suites" / "later.toml").write_text(SUITE.replace("small", "later"))
    (tmp_path / "runs" / "small").mkdir(parents=True)
    lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]  # type: ignore[attr-defined]
    (tmp_path / "runs" / "small" / "records.jsonl").write_text("".join(lines))
    return tmp_path


def trained(*curve: float) -> Accuracy:
    passes = list(range(1, len(curve) + 1))
    return Accuracy(
        test_accuracy=curve[-1],
        epochs=len(curve),
        train_seconds=1.0,
        curve=list(curve),
        curve_passes=passes,
    )


def test_seeds_are_one_row_with_mean_and_deviation(tmp_path: Path) -> None:
    records = [
        record(workload=workload(algorithm="drtp", seed=0), accuracy=trained(0.5, 0.9, 0.8)),
        record(workload=workload(algorithm="drtp", seed=1), accuracy=trained(0.5, 0.6, 0.7)),
    ]

    text = document(folder(tmp_path, *records))

    rows = [line for line in text.splitlines() if line.startswith("| drtp")]
    assert len(rows) == 1
    assert "| 3 | 0, 1 | 75.00 ± 7.07 | 80.00 ± 14.14 |" in rows[0]
    name = tmp_path.name
    command = f"trainfit run {name}/suites/small.toml --data-root DATA --out {name}/runs/small"
    assert f"```sh\n{command}\n```" in text
    assert "Two seeds" in text
    assert "later" not in text


def test_a_run_of_a_suite_that_comes_with_trainfit_is_kept_without_its_training(
    tmp_path: Path,
) -> None:
    run = folder(tmp_path, record(accuracy=None)) / "runs" / "small"
    run.rename(run.with_name("paper-tinyfoa"))

    text = document(tmp_path)

    command = (
        f"trainfit run paper-tinyfoa --data-root DATA --out {tmp_path.name}/runs/paper-tinyfoa"
    )
    assert text.startswith(f"### paper-tinyfoa\n\n{load_suite('paper-tinyfoa').description}\n")
    assert f"```sh\n{command}\n```\n\nKept without the training" in text


def test_stages_are_shown_one_by_one(tmp_path: Path) -> None:
    stages = [StageOperations(stage=f"layer{n}", phases={}) for n in (1, 2)]
    accuracy = trained(0.1, 0.2, 0.3, 0.4)

    text = document(folder(tmp_path, record(accuracy=accuracy, operations=stages)))

    assert "| 20.00 / 40.00 | 40.00 |" in text


def test_a_failure_is_shown(tmp_path: Path) -> None:
    error = ErrorRecord(type="ContractError", message="w holds NaN")
    failed = record(status=RecordStatus.FAILED, error=error, accuracy=None, memory=None)

    assert "| - (1 of 1 failed) | - | - | - |" in document(folder(tmp_path, failed))


def test_a_damaged_run_is_one_message(tmp_path: Path) -> None:
    folder(tmp_path, record(accuracy=trained(0.5)))
    (tmp_path / "runs" / "small" / "records.jsonl").unlink()

    with pytest.raises(RunFolderError, match="is not a run folder"):
        document(tmp_path)


def test_kept_runs_are_small_whole_and_made_by_a_clean_revision() -> None:
    for run in (RESULTS / "runs").iterdir():
        found = {path.name for path in run.iterdir()}
        assert found - {"timelines.jsonl"} == {"environment.json", "records.jsonl", "suite.json"}
        # Of a net of twenty units a record alone is 30 kB: what is alive in every phase. Packed, as
        # a clone fetches it, it is a thirtieth of that.
        records = (run / "records.jsonl").read_bytes()
        assert len(records) < 32_000 * len(records.splitlines())
        assert len(zlib.compress(records)) < 250_000
        assert '"dirty": false' in (run / "environment.json").read_text()
