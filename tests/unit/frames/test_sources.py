"""Frames of runs: fixed columns, one row per workload or per figure of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.builders.runs import failed, memory, record
from tests.fakes.small_boards import board
from trainfit.bench.errors import RunFolderError
from trainfit.bench.frames.sources import SOURCES, load_run, load_source
from trainfit.bench.frames.workloads import IDENTITY, RECORD
from trainfit.bench.records.reading import RECORDS
from trainfit.bench.records.schema import (
    Accuracy,
    Bounds,
    Energy,
    Evidence,
    Latency,
    PhaseEnergy,
    PhaseLatency,
    PhaseOperations,
    Record,
    StageOperations,
)
from trainfit.bench.records.writing import RunFolder

KNOWN = {"name": "stm32f407", "source": "stm32f407"}
PHASES = {"forward", "gradient"}


def run_of(path: Path, *records: Record, **suite: Any) -> Path:
    with RunFolder.create(path, suite, {}) as folder:
        for each in records:
            folder.append(each)
    return path


def costly(**changes: Any) -> Record:
    """A record with measured time and energy, and arithmetic to model them for a device."""
    values: dict[str, Any] = {
        "operations": [
            StageOperations(
                stage="all",
                static_bytes=3_000,
                phases={
                    "forward": PhaseOperations(macs={"fp32": 640}, elementwise={}),
                    "forward.positive": PhaseOperations(macs={"fp32": 600}, elementwise={}),
                },
            )
        ],
        "latency": Latency(
            evidence=Evidence.CLOCK,
            step_seconds_median=0.5,
            step_seconds_iqr=0.1,
            step_interval=Bounds(low=0.4, high=0.6),
            steps=50,
            threads=1,
            onednn=True,
            phases={
                "forward": PhaseLatency(
                    seconds_median=0.25, seconds_iqr=0, interval=Bounds(low=0.2, high=0.3)
                )
            },
        ),
        "energy": Energy(
            evidence=Evidence.SENSOR,
            sensor="rapl",
            joules_per_step=2.0,
            joules_per_step_interval=Bounds(low=1.5, high=2.5),
            idle_watts=3.0,
            valid=True,
            phases={
                "forward": PhaseEnergy(joules=1.5, window_seconds=2, samples=20, valid=True),
                "update": PhaseEnergy(
                    joules=None, window_seconds=0.1, samples=1, valid=False, reason="short"
                ),
            },
        ),
    }
    return record(**values | changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path / "run", costly(), failed(), devices=[KNOWN])


def values_of(frame: pd.DataFrame, **where: Any) -> list[float]:
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return list(frame["value"])


# --- records


def test_a_run_is_one_row_per_workload(run: Path) -> None:
    frame = load_run(run)

    assert list(frame.columns) == ["run", *IDENTITY, *RECORD]
    assert len(frame) == 2
    first = frame.iloc[0]
    assert first["run"] == "run"
    assert first["label"] == "backprop mlp-64-10 digits b32"
    assert first["options"] == "{}"
    assert (first["static_bytes"], first["peak_dynamic_bytes"]) == (3_000, 1_000)
    assert (first["peak_phase"], first["worst_stage"], first["stages"]) == ("gradient", "all", 1)
    assert (first["predicted_bytes"], first["unexplained_bytes"]) == (1_000, 0)
    assert first["test_accuracy"] == 0.9125
    assert (first["step_seconds_low"], first["step_seconds_high"]) == (0.4, 0.6)
    assert (first["joules_per_step_low"], first["joules_per_step_high"]) == (1.5, 2.5)
    assert (first["energy_evidence"], first["energy_sensor"]) == ("sensor", "rapl")
    assert first["idle_watts"] == 3.0
    for column in frame.columns:
        if column.endswith("_bytes"):
            assert frame[column].dtype == pd.Int64Dtype(), column


def test_what_failed_is_missing_in_the_frame(run: Path) -> None:
    second = load_run(run).iloc[1]

    assert second["status"] == "failed"
    for column in ("static_bytes", "test_accuracy", "joules_per_step", "energy_evidence", "steps"):
        assert pd.isna(second[column]), column
    assert second["error"] == "ValueError: no [red]luck[/red]"
    assert second["error_where"] == "a.py:3 step"
    for source in ("values", "costs", "verdicts"):
        assert len(set(load_run(run, source)["run"])) == 1
        assert set(load_run(run, source)["label"]) == {"backprop mlp-64-10 digits b32"}


def test_energy_without_a_sensor_says_so_and_has_no_figure(tmp_path: Path) -> None:
    nothing = Energy(evidence=Evidence.UNAVAILABLE, reason="rapl: no counter")
    run = run_of(tmp_path / "run", costly(energy=nothing))

    row = load_run(run).iloc[0]
    assert row["energy_evidence"] == "unavailable"
    assert pd.isna(row["joules_per_step"])
    assert pd.isna(row["joules_per_step_low"])
    costs = load_run(run, "costs")
    joules = costs[costs["quantity"] == "joules"].iloc[0]
    assert pd.isna(joules["value"])
    assert (joules["evidence"], joules["reason"]) == ("unavailable", "rapl: no counter")


def test_types_do_not_depend_on_what_was_measured(run: Path, tmp_path: Path) -> None:
    empty = run_of(tmp_path / "empty")

    for source in ("records", "values", "costs", "curves", "gradients", "noise"):
        some, none = load_run(run, source), load_run(empty, source)
        assert none.empty
        assert list(none.columns) == list(some.columns)
        plain = [name for name in some if some[name].dtype != "category"]
        assert [some[name].dtype for name in plain] == [none[name].dtype for name in plain]


@pytest.mark.parametrize("source", SOURCES)
def test_no_run_is_an_empty_frame(source: str) -> None:
    assert load_source([], source).empty


def test_frames_of_several_runs_are_stacked(run: Path, tmp_path: Path) -> None:
    trained = Accuracy(
        test_accuracy=0.75, epochs=4, train_seconds=1.0, curve=[0.5, 0.75], curve_passes=[2, 4]
    )
    other = run_of(tmp_path / "other", record(accuracy=trained))

    frame = load_source([run, other], "records")
    assert list(frame["run"]) == ["run", "run", "other"]
    assert list(frame["test_accuracy"].isna()) == [False, True, False]
    assert frame["passes"].dtype == "Int64"
    curves = load_source([other], "curves")
    assert curves[["run", "pass", "test_accuracy"]].values.tolist() == [
        ["other", 2, 0.5],
        ["other", 4, 0.75],
    ]


@pytest.mark.parametrize("source", [each for each in SOURCES if each != "timelines"])
def test_a_folder_without_records_is_no_run(tmp_path: Path, source: str) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        load_run(tmp_path, source)


def test_a_damaged_record_is_named_by_its_line(run: Path) -> None:
    lines = (run / RECORDS).read_text().splitlines()
    lines[1] = json.dumps({"schema": "trainfit.record/99"})
    (run / RECORDS).write_text("\n".join(lines) + "\n")

    with pytest.raises(RunFolderError, match=rf"{RECORDS}:2: not a record of this version: schema"):
        load_run(run)


# --- values


def test_every_figure_of_a_phase_is_a_row(run: Path) -> None:
    frame = load_run(run, "values")

    assert values_of(frame, phase="forward", quantity="peak_bytes") == [600]
    assert values_of(frame, phase="forward", quantity="exit_bytes") == [500]
    assert values_of(frame, phase="gradient", quantity="predicted_bytes") == [1_000]
    assert values_of(frame, phase="forward", quantity="predicted_bytes") == []
    assert values_of(frame, phase="gradient", quantity="category_bytes", part="gradients") == [600]
    assert values_of(frame, phase="forward.positive", quantity="macs", part="fp32") == [600]
    assert values_of(frame, phase="forward", quantity="seconds_median") == [0.25]
    assert values_of(frame, phase="forward", quantity="seconds_low") == [0.2]
    assert values_of(frame, phase="forward", quantity="joules") == [1.5]
    assert values_of(frame, phase="update") == [], "not valid is missing, not 0"
    assert set(frame["stage"]) == {"all"}
    assert frame["value"].notna().all()
    assert str(frame["quantity"].dtype) == "category"


def test_all_stages_are_there(tmp_path: Path) -> None:
    (stage,) = memory().stages
    stages = [stage.model_copy(update={"stage": name}) for name in ("one", "two")]
    run = run_of(tmp_path / "run", record(memory=memory(stages=stages, worst_stage="two")))

    frame = load_run(run, "values")

    peaks = frame[frame["quantity"] == "peak_bytes"]
    assert list(peaks["stage"]) == ["one", "one", "two", "two"]
    # time is taken at the stage that is worst for memory
    assert set(frame[frame["quantity"] == "seconds_median"]["stage"]) == {"two"}


# --- costs and verdicts


def test_costs_are_measured_here_and_modelled_for_devices(run: Path) -> None:
    costs = load_run(run, "costs")

    here = costs[costs["device"].isna()].set_index("quantity")
    assert list(here.loc["seconds", ["value", "low", "high"]]) == [0.5, 0.4, 0.6]
    assert list(here.loc["joules", ["value", "low", "high"]]) == [2.0, 1.5, 2.5]
    assert list(here["evidence"]) == ["clock", "sensor"]
    there = costs[costs["device"] == "stm32f407"].set_index("quantity")
    assert list(there["evidence"]) == ["modelled", "modelled"]
    assert there["value"].isna().all()
    assert (there["low"] <= there["high"]).all()


def test_verdicts_are_of_the_device_tables_of_today(tmp_path: Path) -> None:
    # GIVEN a run that was judged against a board which has changed since
    file = tmp_path / "small.toml"
    file.write_text(board(10**6))
    run = run_of(tmp_path / "run", record(), devices=[{"name": "small", "source": str(file)}])
    assert list(load_run(run, "verdicts")["status"]) == ["fits"]

    file.write_text(board(3_000))

    row = load_run(run, "verdicts").iloc[0]
    assert (row["device"], row["budget"], row["status"]) == ("small", "ram", "exceeds")
    assert (row["unit"], row["evidence"]) == ("B", "allocator")
    assert row["margin"] < 0
    assert "too much" in row["reason"]


def test_the_copy_in_the_run_folder_is_read_where_the_file_is_gone(tmp_path: Path) -> None:
    device = {"name": "small", "source": str(tmp_path / "gone.toml")}
    run = run_of(tmp_path / "run", record(), devices=[device])
    (run / "devices").mkdir()
    (run / "devices" / "small.toml").write_text(board(10**6))

    assert list(load_run(run, "verdicts")["status"]) == ["fits"]


def test_a_device_that_cannot_be_read_is_unknown_and_says_why(tmp_path: Path) -> None:
    device = {"name": "small", "source": "nowhere/small.toml"}
    run = run_of(tmp_path / "run", costly(), devices=[device, KNOWN])

    verdicts = load_run(run, "verdicts")
    lost = verdicts[verdicts["device"] == "small"].iloc[0]
    assert (lost["status"], lost["evidence"]) == ("unknown", "unavailable")
    assert "nowhere/small.toml: no such file" in lost["reason"]
    assert pd.isna(lost["margin"])
    assert set(verdicts[verdicts["device"] == "stm32f407"]["status"]) == {"fits"}
    costs = load_run(run, "costs")
    assert set(costs[costs["device"] == "small"]["evidence"]) == {"unavailable"}


def test_budgets_and_host_of_the_suite_count(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "run",
        costly(),
        devices=[KNOWN],
        host="stm32f407",
        budgets={"step_latency": "1 s", "ram": "1 KiB"},
    )

    found = load_run(run, "verdicts").set_index("budget")

    assert found.loc["ram", "status"] == "exceeds"
    assert list(found.loc["step_latency", ["status", "unit", "evidence"]]) == ["fits", "s", "clock"]


def test_budgets_that_are_none_are_named(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", record(), devices=[KNOWN], budgets={"ram": "much"})

    with pytest.raises(RunFolderError, match=r"suite.json: budgets: "):
        load_run(run, "verdicts")


@pytest.mark.parametrize(
    ("measure", "budgets"), [(["memory"], set()), (["latency"], {"step_latency"})]
)
def test_bytes_that_should_be_there_and_are_not_leave_nothing_to_judge(
    tmp_path: Path, measure: list[str], budgets: set[str]
) -> None:
    run = run_of(
        tmp_path / "run",
        costly(memory=None),
        devices=[KNOWN],
        measure=measure,
        budgets={"step_latency": "1 s"},
    )

    assert set(load_run(run, "verdicts")["budget"]) == budgets
