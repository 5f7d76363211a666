"""``trainfit plot``, as people use it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from trainfit.bench.records.schema import (
    Evidence,
    Memory,
    PhaseMemory,
    Record,
    RecordStatus,
    Residual,
    StageMemory,
    Workload,
)
from trainfit.bench.records.writing import RunFolder
from trainfit.plots import figure_names, load_figure, load_table, table_names


def measured(algorithm: str, scale: int) -> Record:
    phases = {
        name: PhaseMemory(
            peak_bytes=size * scale,
            entry_bytes=0,
            exit_bytes=0,
            categories={"activations": size * scale},
            predicted_bytes=size * scale,
            device_bytes=size * scale // 2,
        )
        for name, size in (("forward", 100), ("gradient", 300), ("update", 200))
    }
    stage = StageMemory(
        stage="all",
        static_bytes=5000,
        static_categories={"parameters": 5000},
        storage_bytes=0,
        peak_dynamic_bytes=300 * scale,
        peak_phase="gradient",
        predicted_bytes=300 * scale,
        predicted_static_bytes=5000,
        device_bytes=150 * scale,
        deterministic=True,
        phases=phases,
        peak_tensors=[],
        residual=Residual(unexplained_bytes=0, left_after_step_bytes=0),
    )
    return Record(
        workload=Workload(algorithm=algorithm, model="mlp-64-10", dataset="digits", batch_size=32),
        status=RecordStatus.OK,
        memory=Memory(evidence=Evidence.ALLOCATOR, worst_stage="all", stages=[stage]),
        seconds=1.0,
    )


@pytest.fixture
def run(main: Any) -> Path:
    """A run of two workloads, in the current folder."""
    with RunFolder.create(Path("mine"), {}, {}) as folder:
        folder.append(measured("backprop", 10))
        folder.append(measured("pepita", 7))
    return Path("mine")


def test_a_figure_and_a_table_by_name(main: Any, run: Path) -> None:
    code, out, err = main(
        "plot", "mine", "--figure", "peak-by-phase", "--table", "memory", "--out", "figures"
    )
    assert (code, err) == (0, "")
    assert {path.name for path in Path("figures").iterdir()} == {
        *(f"peak-by-phase.{kind}" for kind in ("pdf", "svg", "png", "csv")),
        *(f"table-memory.{kind}" for kind in ("csv", "md", "tex")),
    }
    assert "figures/peak-by-phase (pdf, svg, png, csv)" in out
    with Path("figures/peak-by-phase.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    gradients = [float(row["peak_bytes"]) for row in rows if row["phase"] == "gradient"]
    assert gradients == [3000, 2100]


def test_everything_there_is_and_what_is_missing(main: Any, run: Path) -> None:
    code, out, err = main("plot", "mine", "--out", "figures", "--columns", "1", "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)["drawings"]
    assert [each["name"] for each in made] == [*figure_names(), *table_names()]
    for each in made:
        assert bool(each["files"]) != bool(each["missing"])
    drawn = {each["name"] for each in made if each["files"]}
    assert {"peak-by-phase", "memory"} <= drawn
    missing = {each["name"]: each["missing"] for each in made if each["missing"]}
    assert "run its suite again" in missing["timeline"]
    assert '"gradients"' in missing["gradients"]
    assert "suite scaling" in missing["scaling"]


def test_people_are_told_what_is_missing(main: Any, run: Path) -> None:
    code, out, _ = main("plot", "mine", "--out", "figures", "--columns", "1")
    assert code == 0
    assert "not drawn: figure timeline: the run has no timelines" in out


def test_a_figure_that_was_asked_for_and_is_not_in_the_run(main: Any, run: Path) -> None:
    code, _, err = main("plot", "mine", "--figure", "robustness", "--out", "figures")
    assert code == 2
    assert err.startswith("trainfit: figure robustness cannot be drawn from mine: robustness to")
    assert 'measure = ["memory", "accuracy", "noise"]' in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine", "--figure", "peak-by-fase"), "unknown figure 'peak-by-fase': did you mean peak-"),
        (("mine", "--table", "memoir"), "unknown table 'memoir': did you mean memory"),
        (("nothing",), "nothing: is not a run folder: no records.jsonl"),
        (("mine", "--columns", "3"), "--columns"),
        ((), "Missing argument 'RUN'"),
    ],
)
def test_what_cannot_be_is_one_line(
    main: Any, run: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = main("plot", *arguments, "--out", "figures")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not Path("figures").exists()


def test_an_empty_run(main: Any) -> None:
    with RunFolder.create(Path("empty"), {}, {}):
        pass
    code, _, err = main("plot", "empty", "--out", "figures")
    assert code == 2
    assert "there are no records; measure some with trainfit run SUITE --out RUN" in err


def test_a_folder_that_cannot_be_written(main: Any, run: Path) -> None:
    Path("figures").write_text("a file")
    code, _, err = main("plot", "mine", "--figure", "peak-by-phase", "--out", "figures")
    assert code == 2
    assert "--out figures: cannot be written: " in err


def test_the_list_of_figures(main: Any) -> None:
    code, out, _ = main("figures", "--json")
    assert code == 0
    listed = json.loads(out)["figures"]
    assert {row["name"] for row in listed if row["kind"] == "figure"} == set(figure_names())
    assert {row["name"] for row in listed if row["kind"] == "table"} == set(table_names())
    for row in listed:
        module = (load_figure if row["kind"] == "figure" else load_table)(row["name"])
        assert (row["title"], row["drawn_from"]) == (module.TITLE, module.SOURCE)


def test_what_is_named_and_cannot_be_drawn_leaves_nothing(main: Any, run: Path) -> None:
    before = sorted(Path().rglob("*"))

    code, out, err = main(
        "plot", "mine", "--figure", "peak-by-phase", "--figure", "gradients", "--out", "a/figures"
    )

    assert (code, out) == (2, "")
    assert "figure gradients cannot be drawn from mine" in err
    assert sorted(Path().rglob("*")) == before
