"""The command line, as people use it. Bad input is tested in this process: it is the same code."""

from __future__ import annotations

import csv
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders.logs import progress_lines
from trainfit.bench.cli import main as cli
from trainfit.bench.cli.reports.run import STATUS_WORDS
from trainfit.bench.frames.sources import load_run
from trainfit.bench.records.reading import read_environment, read_records

ROOT = Path(__file__).parent.parent.parent
PLUGINS = ROOT / "tests" / "plugins"
SMALL = """
name = "small"
description = "two quick ones"
devices = ["stm32f407", "board.toml"]
timeout_seconds = 60
[defaults]
model = "mlp-64-10"
dataset = "digits"
batch_size = 32
epochs = 1
[[workload]]
algorithm = "backprop"
batch_size = [8, 32]
"""


def trainfit(*arguments: str, cwd: Path = PLUGINS) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    return subprocess.run(
        [sys.executable, "-m", "trainfit.bench.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=120,
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A suite with a board of its own beside it."""
    board = (ROOT / "hardware_profiles" / "rp2040.toml").read_text()
    (tmp_path / "board.toml").write_text(board.replace('name = "rp2040"', 'name = "board"'))
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path / "small.toml"


@pytest.fixture
def bytes_only(small: Path) -> Path:
    """The same without training and without time, which take seconds."""
    text = SMALL.replace("epochs = 1\n", "")
    small.write_text(text.replace("[defaults]", 'measure = ["memory"]\n[defaults]'))
    return small


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.delenv("TRAINFIT_DATA_ROOT", raising=False)

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        return (ended.value.code, *capfd.readouterr())

    return run


def test_a_suite_of_ones_own_with_a_board_and_an_algorithm_of_ones_own(small: Path) -> None:
    # WHEN a suite runs whose folder is not where the command is given
    out = small.parent / "out"
    done = trainfit("run", str(small), "--out", str(out), "--algorithm", "plain:Delta")

    # THEN there is a table, a matrix and a run folder, a line per workload, and nothing else
    assert done.returncode == 0
    assert progress_lines(done.stderr) == [
        ("1/3", "backprop mlp-64-10 digits b8: ok"),
        ("2/3", "backprop mlp-64-10 digits b32: ok"),
        ("3/3", "plain:Delta mlp-64-10 digits b32: ok"),
    ]
    assert "\x1b" not in done.stdout
    assert "mlp-64-10, digits, seed 0" in done.stdout
    assert "stm32f407" in done.stdout
    assert "board" in done.stdout
    assert f"run written to {out}" in done.stdout
    frame = load_run(out)
    assert frame["algorithm"].tolist() == ["backprop", "backprop", "plain:Delta"]
    assert frame["status"].tolist() == ["ok"] * 3
    assert frame["batch_size"].tolist() == [8, 32, 32]
    assert (frame["test_accuracy"] > 0.5).all()
    verdicts = load_run(out, "verdicts")
    ram = verdicts[(verdicts["device"] == "board") & (verdicts["budget"] == "ram")]
    assert len(ram) == 3
    assert sorted(path.name for path in out.iterdir()) == [
        "devices",
        "environment.json",
        "records.jsonl",
        "suite.json",
        "timelines.jsonl",
    ]
    assert {"versions", "machine", "git", "started_at"} <= set(read_environment(out))


def test_whatever_goes_wrong_in_one_workload_the_rest_goes_on(tmp_path: Path) -> None:
    # GIVEN algorithms that raise, crash, leave, hang, want too much memory, break the contract
    names = ["plain:Delta", *(f"broken:{name}" for name in BROKEN), "backprop"]
    text = SMALL.replace('"backprop"', json.dumps(names)).replace("batch_size = [8, 32]", "")
    text = text.replace("timeout_seconds = 60", "timeout_seconds = 5\nmemory_limit_mib = 300")
    (tmp_path / "s.toml").write_text(text.replace(', "board.toml"', ""))

    # WHEN they run
    named = [word for name in names[:-1] for word in ("--algorithm", name)]
    done = trainfit("run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out"), *named)

    # THEN each has a record that says so, and the last workload is measured like the first
    assert done.returncode == 1
    records = read_records(tmp_path / "out")
    ended = [text.rpartition(": ")[2] for _, text in progress_lines(done.stderr)]
    assert ended == [STATUS_WORDS[record.status] for record in records]
    assert [record.status for record in records] == ["ok", *(b[0] for b in BROKEN.values()), "ok"]
    for record, (_, kind, words) in zip(records[1:-1], BROKEN.values(), strict=True):
        assert record.error is not None
        assert record.error.type == kind
        assert words in record.error.message
        assert f"{record.error.type}: {record.error.message}" in done.stdout
    assert "2 of 10 workloads measured" in done.stdout
    assert "Traceback" in (tmp_path / "out" / "logs" / "02.log").read_text()
    where = {r.workload.algorithm: r.error.where for r in records if r.error}
    assert (where["broken:Raises"] or "").endswith(" step")
    assert (where["broken:Hangs"] or "").endswith(" step")


BROKEN = {
    "Raises": ("failed", "ZeroDivisionError", "the learning rate is zero"),
    "Exits": ("failed", "ProcessExit", "exit code 0"),
    "Segfaults": ("failed", "SIGSEGV", "SIGSEGV (during: contract)"),
    "CrashesWhenBuilt": ("failed", "SIGSEGV", "SIGSEGV (during: contract)"),
    "Hangs": ("timed_out", "Timeout", "still running after 5 s (during: contract)"),
    "Hungry": ("out_of_memory", "RuntimeError", "can't allocate memory"),
    "Killed": ("out_of_memory", "SIGKILL", "killed from outside"),
    "Yields": ("failed", "ContractError", "returned a generator"),
}


BAD_SUITES = {
    "unknown algorithm": ('"backprop"', '"backprob"', "unknown algorithm 'backprob'; did you mean"),
    "unknown option": ("epochs = 1\n", "epochs = 1\n", "unknown option of backprop 'lrr'"),
    "unknown model": ("mlp-64-10", "mpl-64-10", "unknown model family 'mpl'; did you mean mlp?"),
    "unknown dataset": ('"digits"', '"digit"', "unknown dataset 'digit'; did you mean digits?"),
    "unknown device": ("stm32f407", "stm32f408", "unknown device 'stm32f408'; did you mean"),
    "missing device file": ("board.toml", "none.toml", "none.toml: no such file"),
    "sizes": ("mlp-64-10", "mlp-784-10", "takes 784 inputs but dataset 'digits' has 64 features"),
    "malformed": ('name = "small"', "name = ", "small.toml: not valid TOML"),
    "unknown key": ("epochs = 1", "epoch = 1", "defaults: unknown key 'epoch'; did you mean"),
    "contradiction": ("[8, 32]", "[8, 8]", "workload 2 is workload 1 again"),
    "no data root": ('"digits"', '"mnist"', "pass --data-root DIR or set TRAINFIT_DATA_ROOT"),
    "code": (
        '"backprop"',
        '"nowhere:Rule"',
        "name it on the command line too: --algorithm nowhere:",
    ),
}


def one_line(err: str) -> None:
    assert err.count("\n") == 1, err
    assert err.startswith("trainfit: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("case", BAD_SUITES)
def test_a_bad_suite_is_one_line_and_exit_code_2(main: Any, small: Path, case: str) -> None:
    old, new, message = BAD_SUITES[case]
    text = SMALL.replace(old, new)
    small.write_text(text + ("options = { lrr = 1 }" if case == "unknown option" else ""))

    code, out, err = main("run", str(small), "--out", "out")

    assert (code, out) == (2, "")
    one_line(err)
    assert message in err
    assert not Path("out").exists()


def test_a_device_file_that_contradicts_itself(main: Any, small: Path) -> None:
    board = small.parent / "board.toml"
    board.write_text(board.read_text().replace("kind =", "knid ="))

    code, _, err = main("run", str(small))

    assert code == 2
    one_line(err)
    assert "board.toml: " in err


def test_a_data_file_that_was_cut_off(main: Any, small: Path) -> None:
    folder = small.parent / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for half in ("train", "t10k"):
        images = struct.pack(">4I", 0x803, 40, 28, 28) + bytes(40 * 784 - 1)
        (folder / f"{half}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{half}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 0x801, 40) + bytes(40)
        )
    small.write_text(SMALL.replace('"digits"', '"mnist"').replace("mlp-64-10", "mlp-784-10"))

    for root in ("data", "nowhere"):
        code, _, err = main("run", str(small), "--data-root", root, "--out", "out")
        assert code == 2
        one_line(err)
        assert ("train-images-idx3-ubyte" in err) == (root == "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quik"], "unknown suite 'quik'; did you mean quick?"),
        (["run", "none.toml"], "cannot read suite none.toml: No such file or directory"),
        (["run", "--resume"], "--resume needs --out DIR"),
        (["run", "--resume", "--out", "none"], "none: is not a run folder"),
        (["run", "--device", "rp2041"], "unknown device 'rp2041'"),
        (["run", "--algorithm", "nowhere:Rule"], "cannot load algorithm 'nowhere:Rule'"),
        (["run", "--wrong"], "No such option: --wrong"),
        (["walk"], "No such command 'walk'"),
        (["devices", "show", "rp2041"], "unknown device 'rp2041'; did you mean"),
        (["devices", "show"], "Missing argument 'NAME|FILE'"),
    ],
)
def test_bad_arguments(main: Any, arguments: list[str], message: str) -> None:
    code, out, err = main(*arguments)

    assert (code, out) == (2, "")
    one_line(err)
    assert message in err


def test_going_on_and_starting_again(main: Any, bytes_only: Path) -> None:
    # GIVEN a finished run
    assert main("run", str(bytes_only), "--out", "out")[0] == 0
    before = Path("out/records.jsonl").read_bytes()

    # WHEN it is started again THEN nothing is overwritten
    code, _, err = main("run", str(bytes_only), "--out", "out")
    assert code == 2
    one_line(err)
    assert "exists already, nothing was overwritten" in err

    # WHEN it goes on, by its own suite THEN everything is there already
    code, out, err = main("run", "--out", "out", "--resume")
    assert (code, err) == (0, "")
    assert "2 of 2 workloads measured, 2 of them before" in out

    # WHEN it goes on with another suite, algorithm or device THEN it is refused
    for wrong in (["quick"], ["--algorithm", "plain:Delta"], ["--device", "rp2040"]):
        code, _, err = main("run", *wrong, "--out", "out", "--resume")
        assert code == 2
        one_line(err)
    assert Path("out/records.jsonl").read_bytes() == before


def test_the_run_folder_is_named_after_suite_and_time(main: Any, bytes_only: Path) -> None:
    code, out, _ = main(
        "run",
        str(bytes_only),
        "--device",
        "rp2040",
        "--device",
        str(bytes_only.parent / "board.toml"),
    )

    assert code == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("small-20")
    assert "rp2040" in out
    assert "stm32f407" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["algorithms"], ["backprop:", "Rumelhart", "momentum", "0.9", "sgd | adam"]),
        (["models"], ["mlp-INPUTS-HIDDEN"]),
        (["datasets"], ["digits", "1,437 + 360", "--data-root", "synthetic-FEATURES-CLASSES"]),
        (["devices"], ["stm32f746", "jetson-nano", "mcu"]),
        (["devices", "show", "rp2040"], ["RP2040", "usable RAM", "253,952", "source"]),
        (["suites"], ["quick"]),
        (["--help"], ["run", "devices"]),
        (["run", "--help"], ["--resume", "--data-root"]),
    ],
)
def test_lists(main: Any, arguments: list[str], words: list[str]) -> None:
    code, out, err = main(*arguments)

    assert (code, err) == (0, "")
    for word in words:
        assert word in out
    assert "\x1b" not in out


# --- options of every command


@pytest.mark.parametrize("arguments", [["suites", "--json"], ["--json", "suites"]])
def test_json_is_one_document_and_nothing_else(main: Any, arguments: list[str]) -> None:
    code, out, err = main(*arguments)

    assert (code, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["suites"]
    quick = next(each for each in document["suites"] if each["suite"] == "quick")
    assert isinstance(quick["workloads"], int)


@pytest.mark.parametrize(
    "arguments", [["devices", "--csv", "tables"], ["--csv", "tables", "devices"]]
)
def test_csv_is_written_beside_what_is_printed(main: Any, arguments: list[str]) -> None:
    code, out, err = main(*arguments)

    assert (code, err) == (0, "")
    assert "stm32f407" in out
    with Path("tables/devices.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["device"]: row for row in csv.DictReader(stream)}
    assert rows["stm32f407"]["usable_ram_bytes"] == "114688"
    assert rows["stm32f407"]["kind"] == "mcu"


def test_quiet_prints_nothing_but_what_is_wrong(main: Any) -> None:
    assert main("devices", "--quiet") == (0, "", "")
    code, out, err = main("devices", "show", "rp2041", "--quiet")
    assert (code, out) == (2, "")
    one_line(err)


def test_options_may_be_combined_and_last_no_longer_than_their_command(main: Any) -> None:
    code, out, _ = main("--quiet", "suites", "--json", "--csv", "tables")
    assert code == 0
    assert json.loads(out)
    assert Path("tables/suites.csv").exists()

    assert "quick" in main("suites")[1]
    assert not Path("tables/devices.csv").exists()


def test_what_follows_two_hyphens_is_no_option(main: Any) -> None:
    code, out, err = main("run", "--", "--json")

    assert (code, out) == (2, "")
    one_line(err)
    assert "--json" in err
    assert "No such option" not in err


@pytest.mark.parametrize("arguments", [["suites", "--csv"], ["suites", "--csv", "--json"]])
def test_csv_without_its_folder(main: Any, arguments: list[str]) -> None:
    code, out, err = main(*arguments)

    assert (code, out) == (2, "")
    one_line(err)
    assert "Option '--csv' requires an argument" in err
    assert list(Path().iterdir()) == []


def test_csv_where_nothing_can_be_written(main: Any) -> None:
    Path("file").write_text("mine")

    code, _, err = main("suites", "--csv", "file")

    assert code == 2
    one_line(err)
    assert "--csv file: cannot be written: File exists" in err


def test_an_error_leaves_no_document(main: Any) -> None:
    code, out, err = main("devices", "show", "rp2041", "--json")

    assert (code, out) == (2, "")
    one_line(err)


def test_a_run_for_machines(main: Any, small: Path) -> None:
    # GIVEN a suite with a budget of time, one of its two workloads broken
    text = SMALL.replace('"backprop"', '["backprop", "broken:Raises"]').replace("[8, 32]", "8")
    text = text.replace("[defaults]", '[budgets]\nstep_latency = "1000 s"\n[defaults]')
    small.write_text(text.replace("timeout_seconds", 'measure = ["memory"]\ntimeout_seconds'))

    # WHEN it runs for machines
    named = ("--algorithm", "broken:Raises")
    code, out, err = main("run", str(small), "--out", "out", "--json", "--csv", "tables", *named)

    # THEN there is one document, though a workload failed, and a file for each of its tables
    assert code == 1
    assert [count for count, _ in progress_lines(err)] == ["1/2", "2/2"]
    document = json.loads(out)
    tables = ("figures", "values", "costs", "verdicts")
    assert set(document) == {*tables, "run", "logs"}
    assert (document["run"], document["logs"]) == ("out", "out/logs")
    good, bad = document["figures"]
    assert (good["status"], bad["status"]) == ("ok", "failed")
    assert isinstance(good["static_bytes"], int)
    assert bad["static_bytes"] is None
    assert bad["error"].startswith("ZeroDivisionError: ")
    verdicts = {(each["device"], each["budget"]): each for each in document["verdicts"]}
    assert {each["number"] for each in document["verdicts"]} == {1}
    time = verdicts["stm32f407", "step_latency"]
    assert (time["status"], time["unit"], time["evidence"]) == ("fits", "s", "modelled")
    assert 0 < time["margin"] < 1000
    assert verdicts["board", "ram"]["unit"] == "B"
    (peak,) = [
        each["value"]
        for each in document["values"]
        if (each["phase"], each["quantity"]) == (good["peak_phase"], "peak_bytes")
    ]
    assert peak == good["peak_dynamic_bytes"]
    (model,) = [
        each
        for each in document["costs"]
        if (each["device"], each["quantity"]) == ("stm32f407", "seconds")
    ]
    assert model["evidence"] == "modelled"
    assert model["high"] == pytest.approx(1000 - time["margin"])

    for name in tables:
        with Path(f"tables/{name}.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == len(document[name])
        assert list(rows[0]) == list(document[name][0])


def test_a_quiet_run_writes_its_folder(main: Any, small: Path) -> None:
    assert main("--quiet", "run", str(small), "--out", "out") == (0, "", "")
    assert len(read_records(Path("out"))) == 2


def test_a_fault_of_trainfit_itself_is_one_line_too(
    main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainfit.bench.suite.suite.suite_names", lambda: 1 / 0)

    code, _, err = main("suites")
    assert code == 3
    one_line(err)
    assert "ZeroDivisionError" in err
    assert "--debug" in err

    assert "Traceback" in main("suites", "--debug")[2]


def test_an_interrupt_says_how_to_go_on(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainfit.bench.suite.suite.suite_names", interrupt)

    code, _, err = main("run")

    assert code == 130
    one_line(err)
    assert "--resume" in err


def test_the_command_line_starts_without_the_heavy_imports() -> None:
    heavy = "{'torch', 'pandas', 'sklearn', 'numpy', 'matplotlib'}"
    modules = "trainfit.bench.cli.main, trainfit.bench.run.runner, trainfit.bench.cli.reports.run"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )

    assert done.stdout == "set()\n"
