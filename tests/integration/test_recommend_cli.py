"""``trainfit recommend``, as people use it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_boards import board
from trainfit.bench.records.schema import Accuracy, Record, RecordStatus, Workload
from trainfit.bench.sizing.kept import kept_runs
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.suite.suite import load_suite
from trainfit.hardware_profiles import device_names

GRID = ("--algorithm", "backprop", "--algorithm", "zeroth_order", "--width", "32", "--depth", "1")


def trained(accuracy: float, **changes: Any) -> Record:
    values = {
        "algorithm": "backprop", "model": "mlp-64-32-10", "dataset": "digits", "batch_size": 8,
        "epochs": 3,
    }  # fmt: skip
    return Record(
        workload=Workload(**values | changes),
        status=RecordStatus.OK,
        accuracy=Accuracy(test_accuracy=accuracy, epochs=3, train_seconds=1.0),
        seconds=1.0,
    )


def write_run(folder: str, *records: Record) -> Path:
    path = Path(folder)
    path.mkdir(parents=True)
    lines = [record.model_dump_json(by_alias=True) + "\n" for record in records]
    (path / "records.jsonl").write_text("".join(lines), "utf-8")
    return path


@pytest.fixture
def runs(main: Any) -> None:
    """Two run folders where they are looked for: three nets, one with two seeds, other data."""
    write_run(
        "runs/first",
        trained(0.96, model="mlp-64-256-10"),
        trained(0.90, seed=0),
        trained(0.92, seed=1),
    )
    write_run(
        "results/runs/second",
        trained(0.80, model="mlp-64-10"),
        trained(0.70, model="mlp-64-64-10"),
        trained(0.99, dataset="mnist", model="mlp-784-32-10"),
    )


def answer(main: Any, *arguments: str) -> dict[str, Any]:
    code, out, err = main("--json", "recommend", "--dataset", "digits", *GRID, *arguments)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def models(rows: list[dict[str, Any]]) -> list[str]:
    return [row["model"] for row in rows]


@pytest.mark.usefixtures("runs")
def test_the_front_of_a_device(main: Any) -> None:
    code, out, err = main("recommend", "--device", "stm32f746", "--dataset", "digits", *GRID)

    assert (code, err) == (0, "")
    read, searched, *lines = out.splitlines()
    assert read == (
        "digits: 4 trained workloads: 0 come with trainfit (torch 2.13.0+cpu), 4 in 2 run folders"
        " here"
    )
    assert searched.startswith(
        "Searched: 2 algorithms; hidden layers: 1, units: 32, batch: 1 to 32; "
    )
    rows = [line.split() for line in lines if "%" in line]
    # the mean, the worst seed, how many seeds
    assert [row[:3] for row in rows] == [
        ["96.00%", "96.00%", "1"],
        ["91.00%", "90.00%", "2"],
        ["80.00%", "80.00%", "1"],
    ]
    assert "\nstm32f746 (RAM in a planned arena)\n" in out
    # backprop has been trained 256 units wide, which is wider than the grid that was asked for
    assert "Fits, and nobody has trained it yet: 1 workload (of every" in out
    assert "\nzeroth_order mlp-64-32-10 b32 " in out
    assert "Of 2 combinations of algorithm and depth: 1 done (" in out
    assert not list(Path().glob("*.toml"))


@pytest.mark.usefixtures("runs")
def test_machines_get_the_front_all_candidates_and_what_is_untrained(
    main: Any, tmp_path: Path
) -> None:
    found = answer(main, "--device", "stm32f746", "--csv", "tables")

    assert models(found["front"]) == ["mlp-64-256-10", "mlp-64-32-10", "mlp-64-10"]
    assert [row["seeds"] for row in found["front"]] == [1, 2, 1]
    for row in found["front"]:
        form = predicted_workload(
            Workload(
                algorithm=row["algorithm"],
                model=row["model"],
                dataset="digits",
                batch_size=row["batch_size"],
            )
        )
        assert row["ram_bytes"] == row["arena_ram_bytes"] == form.planned.ram_bytes
        assert row["torch_ram_bytes"] == form.ram_bytes
        assert (row["judged_by"], row["evidence"]) == ("arena", "planned")
        assert row["sample_joules_high"] is None  # the current of this part is not known
        assert row["sample_seconds_low"] < row["sample_seconds_high"]
    assert [row["worst"] for row in found["front"]] == [0.96, 0.9, 0.8]
    assert found["front"][1]["runs"] == [str(Path("runs/first"))]
    assert len(found["candidates"]) == 4 + 3  # backprop plainly and frugally, zeroth_order
    (offered,) = found["untrained"]
    assert (offered["algorithm"], offered["model"]) == ("zeroth_order", "mlp-64-32-10")
    assert (offered["batch_size"], offered["epochs"]) == (32, 10)
    assert offered["training_seconds"] is None
    assert [row["algorithm"] for row in found["done"]] == ["backprop"]
    assert found["searched"]["widths"] == [32]
    assert found["searched"]["batch_sizes"] == [1, 2, 4, 8, 16, 32]
    assert found["skipped"] == []
    assert found["devices"] == [{"device": "stm32f746", "answers": 3, "reason": None}]
    assert found["combinations"] == {"all": 2, "done": 1, "left": 1, "nothing_fits": 0}
    for name in ("front", "candidates", "untrained", "done"):
        with (tmp_path / "tables" / f"{name}.csv").open(encoding="utf-8") as stream:
            assert len(list(csv.DictReader(stream))) == len(found[name])


@pytest.mark.usefixtures("runs")
def test_accuracy_is_a_floor(main: Any) -> None:
    found = answer(main, "--device", "stm32f746", "--min-accuracy", "0.91")

    assert models(found["front"]) == ["mlp-64-256-10", "mlp-64-32-10"]


@pytest.mark.usefixtures("runs")
def test_every_device_is_answered_for_by_name(main: Any) -> None:
    Path("small.toml").write_text(board(100), "utf-8")
    code, out, _ = main(
        "recommend", "--device", "small.toml", "--device", "jetson-nano", "--dataset", "digits",
        *GRID, "--min-accuracy", "0.97",
    )  # fmt: skip

    assert code == 0
    planned, torch = "(RAM in a planned arena)", "(RAM under torch)"
    none = "none of 4 trained workloads"
    assert f"\nsmall {planned}\n{none} is sure to fit; the smallest, backprop" in out
    assert f"\njetson-nano {torch}\n{none} that fit reaches 97.00%; the best" in out
    found = answer(
        main, "--device", "small.toml", "--device", "jetson-nano", "--min-accuracy", "0.97"
    )
    assert [each["device"] for each in found["devices"]] == ["small", "jetson-nano"]
    for each in found["devices"]:
        assert each["answers"] == 0
        whose = planned if each["device"] == "small" else torch
        assert f"\n{each['device']} {whose}\n{each['reason']}\n" in out


@pytest.mark.usefixtures("runs")
def test_an_objective_that_cannot_be_modelled_is_said(main: Any) -> None:
    code, out, _ = main(
        "recommend", "--device", "stm32f746", "--dataset", "digits", *GRID, "--objective", "energy"
    )

    assert code == 0
    assert "the energy of no trained workload that fits can be modelled" in out


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("objective", ["bytes", "energy", "latency"])
def test_objectives(main: Any, objective: str) -> None:
    found = answer(main, "--device", "jetson-nano", "--objective", objective)

    key = {
        "bytes": "ram_bytes", "energy": "sample_joules_high", "latency": "sample_seconds_high"
    }[objective]  # fmt: skip
    costs = [row[key] for row in found["front"]]
    assert len(costs) > 1
    assert costs == sorted(costs, reverse=True)


@pytest.mark.usefixtures("runs")
def test_all_devices_and_one_of_ones_own(main: Any) -> None:
    Path("small.toml").write_text(board(10**6), "utf-8")

    found = answer(main, "--device", "all", "--device", "small.toml")

    assert {row["device"] for row in found["candidates"]} == {*device_names(), "small"}


@pytest.mark.usefixtures("runs")
def test_budgets_are_held_against_devices(main: Any) -> None:
    found = answer(main, "--device", "jetson-nano", "--budget", "ram=16KiB")

    assert models(found["front"]) == ["mlp-64-10"]
    assert {row["status"] for row in found["candidates"]} > {"exceeds"}


@pytest.mark.usefixtures("runs")
def test_only_the_runs_that_are_named_are_read(main: Any) -> None:
    found = answer(
        main, "--device", "jetson-nano", "--from", "results/runs/second", "--from",
        "results/runs/second",
    )  # fmt: skip

    assert models(found["front"]) == ["mlp-64-10"]
    assert found["front"][0]["seeds"] == 1


@pytest.mark.usefixtures("runs")
def test_a_folder_of_runs_is_all_of_them(main: Any) -> None:
    below = answer(main, "--device", "jetson-nano", "--from", "runs", "--from", "results/runs")

    assert below["front"] == answer(main, "--device", "jetson-nano")["front"]
    assert below["packaged"] == {"runs": 0, "torch": []}


def test_trainings_that_come_with_trainfit_answer_in_any_folder(main: Any) -> None:
    asked = ("--device", "apollo4-plus", "--dataset", "mnist", "--algorithm", "backprop",
             "--width", "32", "--depth", "1")  # fmt: skip

    code, out, err = main("--json", "recommend", *asked)

    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["packaged"]["runs"] == len(kept_runs())
    assert found["front"]
    for each in found["front"]:
        assert all(run.startswith("trainfit/") for run in each["runs"])

    # AND a copy of them in this folder changes no answer but where it is read from
    shutil.copytree(kept_runs()[0].parent, "runs")
    code, out, _ = main("--json", "recommend", *asked)
    again = json.loads(out)
    for each, other in zip(found["front"], again["front"], strict=True):
        assert each | {"runs": None} == other | {"runs": None}
        assert all(run.startswith("runs") for run in other["runs"])
    assert len(again["candidates"]) == len(found["candidates"])


def test_what_a_record_names_is_not_imported_and_what_is_skipped_is_said(
    main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN records of a module on the path, of a rule that is not there, and of no net
    Path("evil.py").write_text("open('ran', 'w').close()\n", "utf-8")
    monkeypatch.syspath_prepend(str(Path().resolve()))
    write_run(
        "runs/first",
        trained(0.9),
        trained(0.99, algorithm="evil:Rule"),
        trained(0.99, algorithm="gone"),
        trained(0.99, algorithm="tinyfoa", model="mlp-64-33-10"),
    )

    code, out, err = main("recommend", "--device", "stm32f746", "--dataset", "digits", *GRID)

    assert (code, err) == (0, "")
    assert not Path("ran").exists()
    assert "\nNot judged: 1 workload, algorithm evil:Rule is not installed here\n" in out
    assert "\nNot judged: 1 workload, algorithm gone is not installed here\n" in out
    assert "33" in next(line for line in out.splitlines() if "slices" in line)
    found = answer(main, "--device", "stm32f746")
    assert models(found["front"]) == ["mlp-64-32-10"]
    assert [row["algorithm"] for row in found["skipped"]] == ["evil:Rule", "gone", "tinyfoa"]


def test_what_is_offered_is_listed_and_shortened_with_a_count(main: Any) -> None:
    asked = ("recommend", "--device", "stm32f746", "--dataset", "digits", "--width", "8")
    code, out, _ = main(*asked)
    rows = json.loads(main("--json", *asked)[1])["untrained"]

    assert code == 0
    assert len(rows) > 16
    listed = out.split("Fits, and nobody has trained it yet")[1].splitlines()
    shown = [line for line in listed if " mlp-64-8" in line]
    assert [line.split()[0] for line in shown] == [row["algorithm"] for row in rows[:16]]
    assert f"and {len(rows) - 16} more (--json or --csv lists all)" in listed
    assert all(row["status"] in {"fits", "tight"} for row in rows)
    assert "How long training takes is not known: no record of a like workload." in listed


def test_without_records_nothing_is_recommended_but_a_suite(main: Any) -> None:
    # WHEN there is no run folder at all
    Path("small.toml").write_text(board(60_000), "utf-8")
    code, out, err = main(
        "recommend", "--device", "small.toml", "--device", "rp2040", "--dataset", "digits",
        "--algorithm", "backprop", "--algorithm", "tinyfoa", "--suite", "next.toml",
        "--budget", "ram=50KiB",
    )  # fmt: skip

    # THEN that is said, and the suite can be run as it is
    assert (code, err) == (0, "")
    assert "No record says how well anything trains digits" in out
    assert "trainfit run next.toml" in out
    suite = load_suite("next.toml")
    assert suite.devices == ["small.toml", "rp2040"]
    assert suite.limits.ram_bytes == 50 * 1024
    for each in suite.workloads:
        assert predicted_workload(each).ram_bytes <= 50 * 1024
    assert {each.algorithm for each in suite.workloads} == {"backprop", "tinyfoa"}


def test_a_suite_in_another_folder_finds_the_device_files(main: Any) -> None:
    Path("small.toml").write_text(board(10**6), "utf-8")
    Path("suites").mkdir()

    code, _, err = main(
        "recommend", "--device", "small.toml", "--dataset", "digits", *GRID, "--suite",
        "suites/next.toml",
    )  # fmt: skip

    assert (code, err) == (0, "")
    (device,) = load_suite("suites/next.toml").devices or []
    assert Path(device).resolve() == Path("small.toml").resolve()


def test_where_nothing_is_missing_no_suite_is_written(main: Any) -> None:
    Path("small.toml").write_text(board(100), "utf-8")

    code, out, _ = main(
        "recommend", "--device", "small.toml", "--dataset", "digits", *GRID, "--suite", "next.toml"
    )

    assert code == 0
    assert "Nothing of the grid is left to train: it has a record, or does not fit." in out
    assert "next.toml was not written." in out
    assert not Path("next.toml").exists()


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "device": (("--device", "stm32f408"), "unknown device 'stm32f408'; did you mean"),
    "no device": ((), "Missing option '--device'"),
    "two of a name": (
        ("--device", "rp2040", "--device", "rp2040.toml"),
        "--device rp2040: two devices have this name; rename the file of one",
    ),
    "data set": (("--device", "rp2040", "--dataset", "digit"), "unknown dataset 'digit'; did you"),
    "algorithm": (
        ("--device", "rp2040", "--algorithm", "backprob"),
        "unknown algorithm 'backprob'; did you mean backprop",
    ),
    "objective": (
        ("--device", "rp2040", "--objective", "joy"),
        "--objective joy: write bytes, energy or latency",
    ),
    "accuracy in percent": (
        ("--device", "rp2040", "--min-accuracy", "95"),
        "--min-accuracy 95: write a share from 0 to 1, 0.95 for 95 %",
    ),
    "accuracy below 0": (("--device", "rp2040", "--min-accuracy=-0.1"), "--min-accuracy -0.1: "),
    "accuracy of nothing": (("--device", "rp2040", "--min-accuracy", "nan"), "--min-accuracy nan"),
    "no run": (
        ("--device", "rp2040", "--from", "nowhere"),
        "--from nowhere: is neither a run folder nor a folder of them, there is no records.jsonl",
    ),
    "damaged run": (("--device", "rp2040", "--from", "bad"), "records.jsonl:1: not a record"),
    "existing suite": (
        ("--device", "rp2040", "--suite", "there.toml"),
        "--suite there.toml: exists already, nothing was overwritten; choose another name",
    ),
    "suite of no kind": (
        ("--device", "rp2040", "--suite", "next"),
        "--suite next: write a name that ends in .toml",
    ),
    "suite nowhere": (
        ("--device", "rp2040", "--suite", "no/next.toml"),
        "--suite no/next.toml: there is no folder no; make it first",
    ),
    "width": (("--device", "rp2040", "--width", "0"), "Invalid value for '--width'"),
    "depth": (("--device", "rp2040", "--depth", "100"), "Invalid value for '--depth'"),
    "budget": (("--device", "rp2040", "--budget", "ram=9ms"), "'ms' is not a unit of size"),
    "no clock": (
        ("--device", "small.toml", "--budget", "step_latency=5ms"),
        "small: step_latency cannot be modelled because the clock is unknown",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(main: Any, case: str) -> None:
    # GIVEN a folder with a device file, one that has a packaged name, a file and a damaged run
    Path("small.toml").write_text(board(10**6), "utf-8")
    Path("rp2040.toml").write_text(board(10**6, name="rp2040"), "utf-8")
    Path("there.toml").write_text("kept", "utf-8")
    Path("bad").mkdir()
    Path("bad/records.jsonl").write_text("{}\n", "utf-8")
    arguments, message = BAD[case]
    dataset = () if "--dataset" in arguments else ("--dataset", "digits")

    # WHEN
    code, out, err = main("recommend", *dataset, *arguments)

    # THEN
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("trainfit: ")
    assert err.count("\n") == 1
    assert Path("there.toml").read_text("utf-8") == "kept"
