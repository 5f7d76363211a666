"""The trainings that come with trainfit are those of results/runs, and small."""

from __future__ import annotations

from pathlib import Path

import pytest

import kept as script
from tests.builders.runs import failed, record, workload
from trainfit.bench.records.reading import read_records, runs_below
from trainfit.bench.sizing.grid import Forms
from trainfit.bench.sizing.kept import kept_runs, reduced, torch_versions
from trainfit.bench.sizing.recommend import Objective, candidates, front
from trainfit.bench.sizing.trained import Trained, trained
from trainfit.bench.verdicts.memory import Status
from trainfit.hardware_profiles import Budgets, device_names, load_device

RESULTS = Path(__file__).parents[3] / "results" / "runs"


def test_what_is_kept_is_what_the_script_makes_of_the_full_records() -> None:
    assert script.present(script.KEPT) == script.wanted(RESULTS)


def test_the_kept_trainings_say_what_the_full_records_say() -> None:
    full = {run.name: read_records(run) for run in runs_below(RESULTS)}
    small = {run.name: read_records(run) for run in kept_runs()}

    assert small
    assert set(small) <= set(full)
    for dataset in ("mnist", "cifar10", "mitbih"):
        ours, theirs = trained(small, dataset), trained(full, dataset)
        assert ours
        for a, b in zip(ours, theirs, strict=True):
            assert (a.workload, a.accuracies, a.passes) == (b.workload, b.accuracies, b.passes)
            assert (a.runs, a.train_seconds) == (b.runs, b.train_seconds)


def test_they_are_small_and_say_which_torch_made_them() -> None:
    runs = kept_runs()

    assert sum(len(content) for content in script.wanted(RESULTS).values()) < 300_000
    assert torch_versions(runs) == ["2.13.0+cpu"]


def test_only_trainings_are_kept(tmp_path: Path) -> None:
    # GIVEN a run of which one workload was trained, and one that trained nothing
    trained_one = record(workload=workload(seed=3))
    for name, records in {"a": [trained_one, failed()], "b": [failed()]}.items():
        (tmp_path / name).mkdir()
        lines = [each.model_dump_json(by_alias=True) + "\n" for each in records]
        (tmp_path / name / "records.jsonl").write_text("".join(lines), "utf-8")
        (tmp_path / name / "environment.json").write_text('{"versions": {}}', "utf-8")

    made = script.wanted(tmp_path)

    # THEN its workload and accuracy are, and no bytes
    assert set(made) == {"a/records.jsonl", "a/environment.json"}
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "records.jsonl").write_bytes(made["a/records.jsonl"])
    (found,) = read_records(tmp_path / "kept")
    assert found == reduced(trained_one)
    assert (found.workload, found.accuracy) == (trained_one.workload, trained_one.accuracy)
    assert found.memory is None


@pytest.mark.parametrize(("change", "code"), [(False, 0), (True, 1)])
def test_the_script_says_whether_the_folder_is_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bool, code: int
) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    line = record().model_dump_json(by_alias=True) + "\n"
    (run / "records.jsonl").write_text(line, "utf-8")
    (run / "environment.json").write_text("{}", "utf-8")
    monkeypatch.setattr(script, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(script, "KEPT", tmp_path / "kept")
    monkeypatch.setattr("sys.argv", ["kept.py"])
    assert script.main() == 0
    if change:
        (run / "records.jsonl").write_text(line + line, "utf-8")

    monkeypatch.setattr("sys.argv", ["kept.py", "--check"])

    assert script.main() == code


QUARTER = 230 * 1024
"""Usable RAM of a board of 256 KiB, at least: some is reserved."""

LARGE_ENOUGH = [name for name in device_names() if load_device(name).usable_ram_bytes >= QUARTER]


def test_the_boards_of_256_kib_and_more() -> None:
    assert {"nrf52840", "rp2040", "rp2350", "stm32f746", "stm32h743", "stm32l4r5"} < set(
        LARGE_ENOUGH
    )
    assert {"microbit-v1", "stm32f407", "stm32f411"} & set(LARGE_ENOUGH) == set()


@pytest.fixture(scope="module")
def mnist() -> tuple[list[Trained], Forms]:
    """What comes with trainfit, and predictions for all boards."""
    runs = {run.name: read_records(run) for run in kept_runs()}
    return trained(runs, "mnist"), Forms()


@pytest.mark.parametrize("name", LARGE_ENOUGH)
def test_a_board_of_256_kib_and_more_has_an_answer_at_95_percent_on_mnist(
    name: str, mnist: tuple[list[Trained], Forms]
) -> None:
    in_hand, made = mnist

    found = candidates(in_hand, [], load_device(name), Budgets(), made)

    answers = front(found, Objective.BYTES, min_accuracy=0.95)
    assert answers
    assert all(each.verdict.status is Status.FITS for each in answers)
    # AND more than one algorithm has one, with several seeds
    good = [each.trained for each in found if each.fits and each.trained]
    good = [each for each in good if each.worst >= 0.95 and each.seeds > 1]
    assert len({each.workload.algorithm for each in good}) > 2
    assert "backprop" in {each.workload.algorithm for each in good}


@pytest.mark.parametrize("name", ["stm32f407", "stm32f411"])
def test_a_board_of_128_kib_has_an_answer_too(
    name: str, mnist: tuple[list[Trained], Forms]
) -> None:
    in_hand, made = mnist

    found = candidates(in_hand, [], load_device(name), Budgets(), made)

    answers = front(found, Objective.BYTES, min_accuracy=0.95)
    assert {each.workload.algorithm for each in answers} == {"local_head"}
    assert {"local_head", "sparse_update", "dfa"} <= {
        each.workload.algorithm for each in found if each.fits
    }
