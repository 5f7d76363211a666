from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.builders.runs import failed, memory, record
from trainfit.bench.costs.device_model import model_device
from trainfit.bench.errors import RunFolderError
from trainfit.bench.frames.sources import load_run
from trainfit.bench.records.reading import (
    RECORDS,
    read_environment,
    read_records,
    read_suite,
    workload_key,
)
from trainfit.bench.records.schema import (
    Bounds,
    Evidence,
    Record,
)
from trainfit.bench.records.schema.older import RENAMED
from trainfit.bench.records.writing import RunFolder
from trainfit.hardware_profiles import load_device

SUITE: dict[str, Any] = {"name": "s", "devices": [{"name": "d", "source": "d", "sha256": "0"}]}
ENVIRONMENT: dict[str, Any] = {"versions": {"trainfit": "1", "torch": "2"}}

REPEATED = (
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "peak_phase",
    "predicted_bytes",
    "device_bytes",
    "deterministic",
)
"""What records said twice up to version 3: of the worst stage, and of all of them."""

VERSION_1 = Path(__file__).parent / "record-version-1.jsonl"
"""One line as the first version of the format wrote it."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    with RunFolder.create(path, SUITE, ENVIRONMENT) as folder:
        folder.append(record())
        folder.append(failed(batch_size=8))
    return path


def test_what_was_written_is_read_back(run: Path) -> None:
    assert read_records(run) == [record(), failed(batch_size=8)]
    assert (read_suite(run), read_environment(run)) == (SUITE, ENVIRONMENT)


def test_creating_leaves_nothing_else_behind(run: Path) -> None:
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_an_empty_folder_may_become_a_run_and_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    RunFolder.create(tmp_path / "empty", SUITE, ENVIRONMENT).close()
    RunFolder.create(tmp_path / "a" / "b", SUITE, ENVIRONMENT).close()

    assert read_records(tmp_path / "empty") == read_records(tmp_path / "a" / "b") == []


@pytest.mark.parametrize("kind", ["file", "folder", "run"])
def test_nothing_is_overwritten(tmp_path: Path, run: Path, kind: str) -> None:
    path = {"file": tmp_path / "file", "folder": tmp_path, "run": run}[kind]
    (tmp_path / "file").write_text("mine")

    with pytest.raises(RunFolderError, match="exists already, nothing was overwritten"):
        RunFolder.create(path, SUITE, ENVIRONMENT)

    assert (tmp_path / "file").read_text() == "mine"
    assert len(read_records(run)) == 2


def test_an_unwritable_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RunFolderError, match=r"cannot write run folder .*: File exists"):
        RunFolder.create(tmp_path / "file" / "run", SUITE, ENVIRONMENT)


def test_every_cut_of_the_file_keeps_all_finished_records(run: Path) -> None:
    # GIVEN a run whose last record is cut off at any byte
    file = run / "records.jsonl"
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for size in (first, first + 1, first + 100, len(whole) - 1):
        file.write_bytes(whole[:size])

        # THEN readers see the first record alone
        assert read_records(run) == [record()]

        # WHEN it goes on THEN the rest is cut off and the next record stands on its own line
        with RunFolder.reopen(run, SUITE, ENVIRONMENT) as folder:
            folder.append(failed())
        assert read_records(run) == [record(), failed()]


def test_a_damaged_line_is_named(run: Path) -> None:
    file = run / "records.jsonl"
    lines = file.read_text().splitlines()
    file.write_text(lines[0] + "\n{}\n")

    with pytest.raises(RunFolderError, match=r"records.jsonl:2: not a record .*: schema: must"):
        read_records(run)

    file.write_text("not json\n")
    with pytest.raises(RunFolderError, match=r"records.jsonl:1: not a record .*: not valid JSON"):
        read_records(run)


@pytest.mark.parametrize("name", ["records.jsonl", "suite.json", "environment.json"])
def test_a_folder_without_its_files_is_no_run(run: Path, name: str) -> None:
    (run / name).unlink()
    reader = {"records.jsonl": read_records, "suite.json": read_suite}.get(name, read_environment)

    with pytest.raises(RunFolderError, match=f"is not a run folder: no {name}"):
        reader(run)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_suite_is_named(run: Path, text: str) -> None:
    (run / "suite.json").write_text(text)

    with pytest.raises(RunFolderError, match=r"suite.json: (not valid JSON|must hold)"):
        read_suite(run)


def test_only_one_run_writes_at_a_time(run: Path) -> None:
    with (
        RunFolder.reopen(run, SUITE, ENVIRONMENT),
        pytest.raises(RunFolderError, match="another run is writing"),
    ):
        RunFolder.reopen(run, SUITE, ENVIRONMENT)


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ({**SUITE, "threads": 2}, "threads was null, is now 2"),
        ({**SUITE, "name": "t" * 200}, r'name was "s", is now "ttt.*\.\.\.'),
        (
            {**SUITE, "devices": [{"name": "d", "source": "d", "sha256": "1"}]},
            r'devices was \["d"\], is now another with the same name',
        ),
    ],
)
def test_another_suite_does_not_go_on(run: Path, suite: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFolderError, match=f"made by another suite: {message}"):
        RunFolder.reopen(run, suite, ENVIRONMENT)


def test_a_device_file_may_have_moved(run: Path) -> None:
    moved = {**SUITE, "devices": [{"name": "d", "source": "elsewhere/d.toml", "sha256": "0"}]}

    RunFolder.reopen(run, moved, ENVIRONMENT).close()


@pytest.mark.parametrize("name", ["torch", "trainfit"])
def test_other_versions_do_not_go_on(run: Path, name: str) -> None:
    now = {"versions": ENVIRONMENT["versions"] | {name: "9"}}

    with pytest.raises(RunFolderError, match=f"was made with {name} .*, this is 9"):
        RunFolder.reopen(run, SUITE, now)


def test_going_on_is_noted(run: Path) -> None:
    RunFolder.reopen(run, SUITE, ENVIRONMENT).close()
    RunFolder.reopen(run, SUITE, ENVIRONMENT).close()

    assert read_environment(run) == {**ENVIRONMENT, "resumed": [ENVIRONMENT, ENVIRONMENT]}


@pytest.mark.parametrize("fault", ["short", "error"])
def test_a_record_that_cannot_be_written_whole_leaves_no_trace(
    run: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    # GIVEN a disk that is full
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        written = write(descriptor, data[:10])
        if fault == "error":
            raise OSError(28, "No space left on device")
        return written

    with RunFolder.reopen(run, SUITE, ENVIRONMENT) as folder:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(RunFolderError, match="cannot write"):
            folder.append(record())
        monkeypatch.undo()

        # WHEN there is room again THEN nothing is between the records
        folder.append(failed())
    assert read_records(run)[2:] == [failed()]


def test_options_are_part_of_what_a_workload_is() -> None:
    keys = {workload_key(record(options=o).workload) for o in ({}, {"lr": 0.1}, {"lr": 0.2})}

    assert len(keys) == 3
    assert json.loads(workload_key(record().workload))["batch_size"] == 32


# --- versions of the format


def written(run: Path, **changes: Any) -> None:
    """Let the run hold the record of version 1 alone, with some keys changed."""
    line = json.loads(VERSION_1.read_text("utf-8"))
    (run / "records.jsonl").write_text(json.dumps(line | changes) + "\n")


def test_records_of_version_1_are_read(run: Path) -> None:
    written(
        run,
        latency={
            "evidence": "clock",
            "step_seconds_median": 0.5,
            "step_seconds_iqr": 0.1,
            "steps": 50,
            "threads": 1,
            "onednn": True,
            "phases": {"forward": {"seconds_median": 0.25, "seconds_iqr": 0.0}},
            "reason": None,
        },
        verdicts=[
            {
                "device": "stm32f407",
                "budget": "ram",
                "status": "fits",
                "margin": 5,
                "reason": "5 B left",
            }
        ],
    )

    (read,) = read_records(run)

    assert read.schema_ == "trainfit.record/1"
    assert read.memory is not None
    assert read.memory.static_bytes == 6_737_024
    assert read.energy is None
    assert read.latency is not None
    assert (read.latency.step_seconds_median, read.latency.step_interval) == (0.5, None)
    assert not {"verdicts", "devices"} & set(read.model_dump()), "derived, so computed on reading"
    (stage,) = read.operations
    assert stage.static_bytes is None
    assert stage.macs == {"fp32": 104_572_928 + 52_035_584}
    assert not any(
        phase.calls or phase.operands or phase.results for phase in stage.phases.values()
    )
    # written again it does not pretend to be newer
    assert json.loads(read.model_dump_json(by_alias=True))["schema"] == "trainfit.record/1"


def test_both_versions_make_one_frame(run: Path) -> None:
    written(run)
    with RunFolder.reopen(run, SUITE, ENVIRONMENT) as folder:
        folder.append(record())

    frame = load_run(run)

    assert frame["algorithm"].tolist() == ["pepita", "backprop"]
    assert frame["static_bytes"].tolist() == [6_737_024, 3_000]
    values = load_run(run, "values")
    forward = values[(values["phase"] == "forward") & (values["quantity"] == "macs")]
    assert forward["value"].tolist() == [104_572_928]


@pytest.mark.parametrize("device", ["stm32f407", "jetson-nano"])
def test_a_record_of_version_1_has_no_modelled_time_or_energy(run: Path, device: str) -> None:
    written(run)
    (read,) = read_records(run)

    model = model_device(read.operations, load_device(device), 64)

    for figure in (model.latency, model.energy):
        assert figure.evidence is Evidence.UNAVAILABLE
        assert "version 1" in (figure.reason or "")
    assert model.energy_per_sample is None


@pytest.mark.parametrize("version", ["trainfit.record/6", "trainfit.record/0", "other/1", 1, None])
def test_other_versions_are_refused(run: Path, version: Any) -> None:
    written(run, schema=version)

    with pytest.raises(RunFolderError, match=r"records.jsonl:1: not a record .*: schema: must"):
        read_records(run)


def test_every_record_that_comes_with_the_project_is_read() -> None:
    runs = sorted((Path(__file__).parents[3] / "results" / "runs").iterdir())

    assert runs
    for each in runs:
        lines = (each / RECORDS).read_text("utf-8").splitlines()
        for read, line in zip(read_records(each), map(json.loads, lines), strict=True):
            before = line["memory"] or {}
            said = {name: before[name] for name in REPEATED if name in before}
            assert said == {name: getattr(read.memory, name) for name in said}
            assert Record.model_validate_json(read.model_dump_json(by_alias=True)) == read


def test_the_worst_stage_is_one_of_them() -> None:
    with pytest.raises(ValidationError, match="worst_stage 'two' is none of the stages"):
        memory(worst_stage="two")


def test_figures_of_a_workload_are_those_of_its_worst_stage() -> None:
    (one,) = memory(static=10, peak=5).stages
    two = one.model_copy(
        update={"stage": "two", "static_bytes": 7, "storage_bytes": 3, "deterministic": False}
    )

    both = memory(stages=[one, two])

    assert (both.static_bytes, both.peak_dynamic_bytes, both.peak_phase) == (10, 5, "gradient")
    assert (both.storage_bytes, both.deterministic) == (3, False), "over all stages"


@pytest.mark.parametrize(("low", "high"), [(2, 1), (-1, 1), (0, float("inf")), (0, float("nan"))])
def test_bounds_that_are_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValidationError):
        Bounds(low=low, high=high)


def test_bytes_that_version_4_called_closed_form_and_lower_bound_have_todays_names(
    run: Path,
) -> None:
    raw = record().model_dump(mode="json", by_alias=True)
    text = json.dumps(raw | {"schema": "trainfit.record/4"})
    for then, now in RENAMED.items():
        assert f'"{now}"' in text
        text = text.replace(f'"{now}"', f'"{then}"')
    (run / "records.jsonl").write_text(text + "\n", encoding="utf-8")

    (read,) = read_records(run)

    assert read.schema_ == "trainfit.record/4"
    assert read.memory == record().memory
