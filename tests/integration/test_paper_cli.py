"""``trainfit paper``: a folder with a paper's figures, tables and claims, from small built runs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gate import write_run
from trainfit.bench.papers.paper import PAPERS, Paper
from trainfit.bench.records.schema import Accuracy, Record, RecordStatus, Workload
from trainfit.bench.run.runner import Run
from trainfit.bench.verdicts.judges import Judges


def trained(lookahead: str, *accuracies: float, dataset: str = "mnist") -> Record:
    return Record(
        workload=Workload(
            algorithm="ff_int8",
            options={"lookahead": lookahead},
            model="mlp-784-1000-1000-10",
            dataset=dataset,
            batch_size=32,
            epochs=len(accuracies),
        ),
        status=RecordStatus.OK,
        accuracy=Accuracy(
            test_accuracy=accuracies[-1],
            epochs=len(accuracies),
            train_seconds=1.0,
            curve=list(accuracies),
            curve_passes=list(range(1, len(accuracies) + 1)),
        ),
        seconds=1.0,
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """FF-INT8 with two figures and a table, so that a test draws one picture."""
    paper = Paper(
        "ff-int8",
        "FF-INT8",
        "paper-ff-int8",
        ("ff_int8",),
        ("ff-int8-convergence", "ff-int8-depth"),
        ("ff-int8-operations",),
    )
    monkeypatch.setitem(PAPERS, "ff-int8", paper)


@pytest.fixture
def runs(main: Any, small: None) -> tuple[Path, Path]:
    """Two runs of one training each."""
    return (
        write_run(Path("kept/off"), [trained("off", 0.9, 0.95)]),
        write_run(Path("kept/on"), [trained("true", 0.9, 0.96)]),
    )


def test_a_folder_of_figures_tables_claims_and_what_is_missing(
    main: Any, runs: tuple[Path, Path]
) -> None:
    code, out, err = main(
        "paper", "ff-int8", "--from", "kept/off", "--from", "kept/on", "--out", "made"
    )
    assert (code, err) == (0, "")
    assert "not drawn: figure ff-int8-depth" in out
    folder = Path("made")
    stem = folder / "ff-int8-convergence"
    assert all(stem.with_suffix(kind).stat().st_size for kind in (".pdf", ".svg", ".png", ".csv"))
    page = (folder / "README.md").read_text()
    assert "trainfit paper ff-int8 --from kept/off --from kept/on" in page
    assert "From `off`, `on`." in page
    assert "2.13.0" in page
    assert re.search(r"## Not made\n\n.*\n.*\n\| figure ff-int8-depth \| .*mnist-int8-depth", page)
    assert "ff-int8-lookahead" in page.partition("## Claims")[2]
    assert str(Path.cwd()) not in page
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (folder / link).is_file()
    with (folder / "claims.csv").open(newline="") as stream:
        judged = {row["claim"]: row for row in csv.DictReader(stream)}
    assert judged["ff-int8-lookahead"]["value_low"]


def test_a_folder_of_runs_and_machines(main: Any, runs: tuple[Path, Path]) -> None:
    code, out, err = main("--json", "paper", "ff-int8", "--from", "kept")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["runs"] == ["kept/off", "kept/on"]
    assert found["index"] == "papers/ff-int8/README.md"
    missing = {row["name"]: row["missing"] for row in found["drawings"]}
    assert missing["ff-int8-convergence"] is None
    assert "batch_size = 10" in missing["ff-int8-operations"]
    assert {row["id"] for row in found["claims"]} >= {"ff-int8-lookahead"}


def test_without_records_the_papers_suite_is_run(
    main: Any, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def run_suite(suite: Any, devices: Any, out: Path, listener: Any, **more: Any) -> Run:
        asked.update(suite=suite.name, out=out, **more)
        record = trained("off", 0.9, 0.95)
        write_run(out, [record])
        return Run(out, Judges(), [record], 1)

    monkeypatch.setattr("trainfit.bench.run.runner.run_suite", run_suite)
    code, out, _ = main("paper", "ff-int8", "--data-root", "data", "--out", "made")
    assert code == 0
    assert (asked["suite"], asked["data_root"]) == ("paper-ff-int8", Path("data"))
    assert asked["out"].parent == Path("runs")
    assert f"trainfit run --resume --out {asked['out']}" in out
    assert f"--from {asked['out']}" in Path("made/README.md").read_text()


BAD = {
    "unknown": (["ff-int9"], r"unknown paper 'ff-int9': did you mean ff-int8"),
    "no run": (["ff-int8", "--from", "nowhere"], r"--from nowhere: is neither a run folder"),
    "nothing": (
        ["ff-int8", "--from", "other"],
        r"nothing of ff-int8 can be made from other: no training of ff_int8.*trainfit run",
    ),
    "a file": (["ff-int8", "--from", "kept", "--out", "taken"], r"--out taken: cannot be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(main: Any, runs: tuple[Path, Path], case: str) -> None:
    write_run(Path("other"), [trained("off", 0.5, dataset="digits")])
    Path("taken").touch()
    arguments, message = BAD[case]
    code, out, err = main("paper", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert re.search(message, err)
