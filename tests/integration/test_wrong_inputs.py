"""The command line given what is wrong: one line, exit code 2, nothing left on the disk."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.builders.gate import ENVIRONMENT, KEY, entry, whole
from trainfit.bench.cli.main import main as command
from trainfit.bench.gate.golden import Conditions, Golden, to_text

NAME = "x\n::stop-commands::t\n\x1b[31m`<img src=x>` @everyone"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run() -> Path:
    """A run folder with one record."""
    return run_at(Path("run"))


def run_at(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    raw = json.loads(whole().model_dump_json(by_alias=True))
    raw["workload"] |= changes
    (folder / "records.jsonl").write_text(json.dumps(raw) + "\n")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (folder / "suite.json").write_text(json.dumps({"name": "s", "devices": []}))
    return folder


def golden(file: str, *names: str) -> str:
    steps = {name: entry() for name in (KEY, *names)}
    Path(file).write_text(to_text(Golden(conditions=Conditions(torch="2.13.0"), workloads=steps)))
    return file


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        command([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


READS = {
    "suite": ("run", "{}.toml", "--out", "out"),
    "device": ("devices", "show", "{}.toml"),
    "golden": ("gate", "run", "--golden", "{}"),
    "run": ("gate", "{}", "--golden", "g.json"),
    "runs": ("claims", "--from", "{}"),
    "plotted": ("plot", "{}", "--out", "out"),
    "benchmark": ("gate-benchmark", "{}", "--golden", "g.json"),
    "claims": ("claims", "--claims", "{}.py"),
    "recording": ("run", "quick", "--sensor", "replay:{}", "--out", "out"),
}


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "long", "no text"])
@pytest.mark.parametrize("what", READS)
def test_what_is_no_file_is_refused_at_once(
    what: str, kind: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden("g.json")
    names = {"long": "n" * 5_000, "no text": "r\udcff"}
    name = names.get(kind, "odd")
    for ending in ("", ".toml", ".py"):
        if kind == "pipe":
            os.mkfifo(f"odd{ending}")
        elif kind == "folder":
            Path(f"odd{ending}").mkdir()
        elif kind == "device":
            Path(f"odd{ending}").symlink_to("/dev/zero")
    before = sorted(Path().iterdir())
    code, _, err = said(capsys, *(each.replace("{}", name) for each in READS[what]))
    assert code == 2, err
    assert err.count("\n") == 1
    assert "fault" not in err
    assert len(err) < 2_200
    assert sorted(Path().iterdir()) == before


def test_names_in_a_golden_and_a_record_reach_no_medium_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = run_at(Path("run"), algorithm=NAME)
    code, out, err = said(
        capsys, "gate", run, "--golden", golden("g.json", NAME), "--github",
        "--markdown", "r.md", "--junit", "j.xml", "--csv", "tables",
    )  # fmt: skip
    assert (code, err) == (1, "")
    lines = out.split("\n")
    commands = [line for line in lines if line.lstrip().startswith("::")]
    assert all(line.startswith(("::error file=", "::warning file=")) for line in commands)
    assert len(commands) == 3
    assert all(line.isprintable() for line in lines)
    page = Path("r.md").read_text("utf-8")
    assert all(line.isprintable() for line in page.split("\n"))
    assert not any(line.startswith("::") for line in page.split("\n"))
    assert "`<img" not in page
    assert "\x1b" not in Path("j.xml").read_text("utf-8")
    with Path("tables/findings.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3


def test_a_workload_that_is_twice_in_a_golden_is_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(golden("g.json")).read_text("utf-8")
    begin = text.index(f'  "{KEY}"')
    step = text[begin : text.index("\n  }", begin) + 4]
    Path("g.json").write_text(text.replace(step, f"{step},\n{step}"))
    code, _, err = said(capsys, "gate", run, "--golden", "g.json")
    assert code == 2
    assert f"g.json: '{KEY}' is there twice; keep one of them" in err


@pytest.mark.parametrize(
    ("changes", "said_of_it"),
    [
        ({"batch_size": True}, "workload.batch_size: must be a whole number, got True"),
        ({"batch_size": "32"}, "workload.batch_size: must be a whole number, got '32'"),
        ({"batch_size": 10**40}, "workload.batch_size: is too large a number; whole numbers"),
        ({"model": 3}, "workload.model: must be text in quotes, got 3"),
    ],
)
def test_a_record_of_other_types_is_refused_by_every_reader(
    changes: dict[str, Any], said_of_it: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_at(Path("run"), **changes)
    golden("g.json")
    for arguments in (
        ("gate", run, "--golden", "g.json"),
        ("plot", run, "--out", "figures"),
        ("claims", "--from", run),
        ("recommend", "--device", "stm32f407", "--dataset", "digits", "--from", run),
    ):
        code, _, err = said(capsys, *arguments)
        assert code == 2, err
        assert f"records.jsonl:1: not a record of this version: {said_of_it}" in err


@pytest.mark.parametrize(
    ("place", "value", "said_of_it"),
    [
        (("memory", "stages", 0, "static_bytes"), -1, "memory.stages[1].static_bytes: must be at"),
        (("accuracy", "test_accuracy"), 17.5, "accuracy.test_accuracy: must be at most 1"),
        (("accuracy", "test_accuracy"), float("nan"), "accuracy.test_accuracy: must be "),
        (("seconds",), float("inf"), "seconds: must be "),
        (("schema",), None, "schema: must be one of trainfit.record/1, "),
    ],
)
def test_figures_that_cannot_be_are_refused(
    place: tuple[Any, ...], value: Any, said_of_it: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_at(Path("run"))
    raw = json.loads((run / "records.jsonl").read_text())
    at = raw
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    if value is None:
        del raw["schema"]
    (run / "records.jsonl").write_text(json.dumps(raw) + "\n")
    code, _, err = said(capsys, "plot", run, "--out", "figures")
    assert code == 2
    assert said_of_it in err
    assert "pydantic" not in err


@pytest.mark.parametrize(
    ("old", "new", "said_of_it"),
    [
        ('"static_bytes": 9000', '"static_bytes": -9000', "it cannot be less than 0"),
        ('"static_bytes": 9000', '"static_bytes": true', "static_bytes"),
        ('"static_bytes": 9000', f'"static_bytes": {10**40}', "static_bytes"),
        ('"torch": "2.13.0"', '"torch": ""', "conditions.torch: must be a version"),
        ('"threads": 1', '"threads": "1"', "conditions.threads: must be a whole number, got '1'"),
    ],
)
def test_a_golden_of_other_types_is_refused(
    old: str, new: str, said_of_it: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(golden("g.json"))
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1))
    code, _, err = said(capsys, "gate", run, "--golden", file)
    assert code == 2
    assert said_of_it in err


@pytest.mark.parametrize(
    ("extra", "said_of_it"),
    [
        ([1], "benchmark 1 (t): extra_info: must be a JSON object, got [1]"),
        ({"trainfit": [1]}, "benchmark 1 (t): extra_info.trainfit: schema is [1], expected"),
        ({"trainfit": {"schema": "trainfit.benchmark/1", "torch": "2"}}, "no benchmark in it has"),
    ],
)
def test_a_benchmark_of_other_types_is_refused(
    extra: Any, said_of_it: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b.json").write_text(json.dumps({"benchmarks": [{"fullname": "t", "extra_info": extra}]}))
    code, _, err = said(capsys, "gate-benchmark", "b.json", "--golden", golden("g.json"))
    assert code == 2
    assert said_of_it in err


@pytest.mark.parametrize(
    ("name", "changes", "said_of_it"),
    [
        ("suite.json", {"devices": [{"name": "x"}, 1]}, "devices[2]: must be a table, got 1"),
        ("suite.json", {"measure": {"a": 1}}, "suite.json: measure: must be a list"),
        ("suite.json", {"budgets": {"ram": 5}}, "suite.json: budgets: ram: 5 has no unit"),
        ("environment.json", {"versions": []}, "versions: must be a table, got []"),
    ],
)
def test_a_run_folder_of_other_types_is_refused(
    name: str,
    changes: dict[str, Any],
    said_of_it: str,
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps(known | changes))
    arguments = ("plot", run, "--out", "figures", "--figure", "budget-matrix")
    if name == "environment.json":
        arguments = ("gate", run, "--golden", golden("g.json"))
    code, _, err = said(capsys, *arguments)
    assert code == 2
    assert said_of_it in err


@pytest.mark.parametrize(
    ("arguments", "said_of_it"),
    [
        ("compare|backprop mlp-64-10 digits[:0] b8|pepita", "the first 0 training samples"),
        ("compare|backprop mlp-64-10 digits b\u0668|pepita", "is too much, or in the wrong place"),
        ("fit|--device|stm32f407|--algorithm|backprop|--model|mlp-1x1-9999999x999-2x9-10",
         "has 1,008 hidden layers; a net may have at most 999"),
        ("fit|--device|stm32f407|--algorithm|backprop|--model|mlp-9999999x900-10",
         "parameters; a net may have at most"),
        ("fit|--device|stm32f407|--algorithm|tinyfoa|--model|mlp-64-8x999-10",
         "tinyfoa trains every hidden layer on all below it"),
        (f"fit|--device|stm32f407|--algorithm|backprop|--model|mlp-{'9' * 10_000}",
         "its model has more than 1,000 characters"),
        (f"fit|--device|stm32f407|--algorithm|backprop|--model|mlp-64-10|--batch-size|1{'0' * 400}",
         "--batch-size 1000"),
        ("fit|--device|stm32f407|--algorithm|backprop|--model|mlp-64-10|-o|lr=inf",
         "option 'lr' of backprop: Input should be a finite number, got inf"),
        ("fit|--device|stm32f407|--algorithm|backprop|--model|mlp-64-10|-o|lr=true",
         "option 'lr' of backprop: Input should be a valid number, got True"),
        ("fit|--device|stm32f407|--algorithm|backprop|--model|mlp-64-10|--budget"
         "|step_latency=1e99999999999999999999s", "is beyond all measure"),
        ("recommend|--device|stm32f407|--dataset|synthetic-200000-2",
         "at most 512.0 MiB are generated; use at most 53,644 features for 2 classes"),
    ],
)  # fmt: skip
def test_sizes_beyond_all_measure_are_refused_at_once(
    arguments: str, said_of_it: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, *arguments.split("|"))
    assert code == 2
    assert said_of_it in err
    assert err.count("\n") == 1
    assert len(err) < 2_200


def test_a_suite_of_too_many_workloads_is_refused_before_it_is_expanded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    numbers = ", ".join(map(str, range(1, 3_163)))
    Path("s.toml").write_text(
        'name = "s"\n[defaults]\nmodel = "mlp-64-10"\ndataset = "digits"\n[[workload]]\n'
        f'algorithm = "backprop"\nbatch_size = [{numbers}]\nseed = [{numbers}]\n'
    )
    code, _, err = said(capsys, "run", "s.toml", "--out", "out")
    assert code == 2
    assert "s.toml: stands for 9,998,244 workloads, at most 20,000 are measured in one run" in err
    assert not Path("out").exists()


def test_a_command_that_refuses_its_input_makes_no_folder_of_tables(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ("devices", "show", "none", "--csv", "tables"),
        ("plot", run, "--out", "figures", "--figure", "scaling", "--csv", "tables"),
    ):
        assert said(capsys, *arguments)[0] == 2
        assert not Path("tables").exists()
    assert said(capsys, "suites", "--csv", "tables")[0] == 0
    assert Path("tables/suites.csv").is_file()


def test_files_saved_by_editors_of_windows_are_read(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(golden("g.json"))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert said(capsys, "gate", run, "--golden", file)[0] == 0
    file.write_bytes(file.read_text("utf-8-sig").encode("utf-16"))
    code, _, err = said(capsys, "gate", run, "--golden", file)
    assert code == 2
    assert "g.json: is not UTF-8 but UTF-16; save the file as UTF-8" in err


def test_a_folder_whose_name_is_no_text_is_read_and_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = run_at(Path("r\udcff"))
    golden("g.json", "gone")
    assert said(capsys, "gate", run, "--golden", "g.json", "--markdown", "r.md", "--github")[0] == 1
    assert "r\ufffd against g.json" in Path("r.md").read_text("utf-8")
    assert said(capsys, "plot", run, "--out", "figures", "--table", "memory")[0] == 0


def test_names_with_dollar_signs_are_drawn_as_they_are(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    run = run_at(Path("run"), algorithm="a$b_{$\x1b\u05d0\u4e00")
    code, _, err = said(capsys, "plot", run, "--out", "figures", "--figure", "peak-by-phase")
    assert (code, err) == (0, "")
    assert Path("figures/peak-by-phase.svg").is_file()


def test_a_current_folder_that_is_gone_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        code, _, err = said(capsys, "devices")
    finally:
        os.chdir(tmp_path)
    assert (code, err) == (
        2,
        "trainfit: the current folder is no longer there; change to another one\n",
    )
