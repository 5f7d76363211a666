"""``trainfit gate``, as people and CI jobs use it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.builders.gate import ENVIRONMENT, KEY, phases, stage, whole, write_run
from trainfit.bench.cli import main as cli
from trainfit.bench.gate.compare import GateResult
from trainfit.bench.records.schema import Residual

HUNGRY = whole(stage(phases(weight=8_000)))
NEWER = ENVIRONMENT | {"versions": ENVIRONMENT["versions"] | {"torch": "2.99.0"}}


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr; a run and its golden."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["gate", *arguments])
        return (ended.value.code, *capfd.readouterr())

    write_run(tmp_path / "good", [whole(), whole(batch_size=8)])
    write_run(tmp_path / "bad", [HUNGRY, whole(batch_size=8)])
    assert run("good", "--golden", "g.json", "--update")[0] == 0
    return run


def gate(main: Any, run: str, *options: str) -> tuple[Any, str, str]:
    code, out, err = main(run, "--golden", "g.json", *options)
    return code, out, err


def test_a_run_as_the_golden_has_it_passes(main: Any) -> None:
    assert gate(main, "good") == (0, "pass: 2 workloads as the golden has them\n", "")


def test_a_regression_leads_with_what_grew_and_names_the_tensor(main: Any) -> None:
    code, out, err = gate(main, "bad")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[:4] == [
        f"grew  {KEY}",
        "      RAM 13,600 B -> 17,600 B, +4,000 B (+29.4 %): peak_dynamic +4,000 B",
        "      peak_dynamic_bytes 4,600 B -> 8,600 B, +4,000 B (+87.0 %), and 15 more figures",
        "      grown: mm float32 10x64, 4,000 B -> 8,000 B (gradients), in gradient and update",
    ]
    assert lines[-2] == "regression: 1 of 2 workloads not as the golden has it"
    assert lines[-1] == "if this is on purpose: trainfit gate bad --golden g.json --update"


def test_less_fails_too_until_it_is_accepted(main: Any) -> None:
    assert gate(main, "bad", "--update")[0] == 0
    code, out, _ = gate(main, "good")
    assert code == 1
    assert out.startswith("shrank")


def test_update_prints_what_it_accepts(main: Any) -> None:
    code, out, err = gate(main, "bad", "--update")
    assert (code, err) == (0, "")
    assert out.startswith("accepted:\n")
    assert "+4,000 B (+87.0 %)" in out
    assert out.splitlines()[-1] == "golden g.json: 1 changed, 1 unchanged"
    assert gate(main, "bad")[0] == 0


def test_another_torch_is_exit_code_3_with_the_reason(main: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "newer", [HUNGRY, whole(batch_size=8)], environment=NEWER)
    code, out, err = gate(main, "newer")
    assert (code, out) == (3, "")
    assert err.startswith(
        "trainfit: not comparable: torch differs: the golden was made with 2.13.0"
    )
    assert "fault" not in err
    assert "trainfit gate newer --golden g.json --update adds another torch" in err

    code, out, _ = gate(main, "newer", "--update")
    assert code == 0
    assert "made again: torch differs" in out
    assert "no longer for torch 2.13.0: measure with it again" in out
    assert gate(main, "newer")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'RUN'"),
        (["good"], "Missing option '--golden'"),
        (["nowhere", "--golden", "g.json"], "nowhere: is not a run folder"),
        (
            ["good", "--golden", "none.json"],
            "there is no golden; make it: trainfit gate good",
        ),
        (["good", "--golden", "good/suite.json"], "not a golden of this version"),
        (["good", "--golden", "g.json", "--prune"], "--prune is for --update"),
        (["good", "--golden", "g.json", "--github", "--json"], "both print to stdout"),
        (["good", "--golden", "g.json", "--missing", "shrug"], "shrug"),
        (["good", "--golden", "g.json", "--junit", "g.json/x.xml"], "--junit g.json/x.xml: cannot"),
    ],
)
def test_wrong_input_is_one_line(main: Any, arguments: list[str], message: str) -> None:
    code, _, err = main(*arguments)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


def test_workloads_that_only_one_side_has(main: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "part", [whole()])
    write_run(tmp_path / "more", [whole(), whole(batch_size=8), whole(batch_size=9)])
    assert gate(main, "part")[0] == 1
    assert gate(main, "part", "--missing", "warn")[:2][0] == 0
    assert gate(main, "part", "--missing", "ignore")[1] == "pass: 1 workload as the golden has it\n"
    code, out, _ = gate(main, "more")
    assert code == 0
    assert out.splitlines()[-1] == "pass: 2 workloads as the golden has them, 1 warning"
    assert gate(main, "more", "--strict")[0] == 1


def test_json_has_every_finding(main: Any) -> None:
    code, out, _ = gate(main, "bad", "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["exit_code"], found["compared"]) == (
        1,
        "regression",
        1,
        2,
    )
    first = next(each for each in found["findings"] if each["metric"] == "all/update/peak_bytes")
    assert (first["golden"], first["measured"], first["change"], first["unit"]) == (
        4_000,
        8_000,
        4_000,
        "B",
    )
    assert found["explained"][KEY]
    assert json.loads(gate(main, "good", "--json")[1])["findings"] == []


def test_csv_has_every_finding(main: Any) -> None:
    gate(main, "bad", "--csv", "tables")
    with Path("tables/findings.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["kind"] for row in rows} == {"grew"}
    assert len(rows) > 5


def test_files_for_pull_requests_and_ci_systems(main: Any) -> None:
    code, _, _ = gate(main, "bad", "--markdown", "out/report.md", "--junit", "out/junit.xml")
    assert code == 1
    assert "### trainfit gate: regression" in Path("out/report.md").read_text()
    (suite,) = ElementTree.parse("out/junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


def test_github_gets_annotations_and_a_summary(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before\n")

    code, out, _ = gate(main, "bad", "--quiet")
    assert code == 1
    assert out.startswith("::error file=g.json,line=")
    assert Path("summary.md").read_text().startswith("before\n### trainfit gate: regression")

    assert "::error" not in gate(main, "bad", "--no-github")[1]
    json.loads(gate(main, "bad", "--json")[1])


def test_quiet_prints_nothing(main: Any) -> None:
    assert gate(main, "bad", "--quiet") == (1, "", "")


def test_gating_imports_neither_torch_nor_pandas(main: Any) -> None:
    program = (
        "import sys\nfrom trainfit.bench.cli import main as cli\n"
        "try:\n    cli.main(['gate', 'bad', '--golden', 'g.json', '--quiet'])\n"
        "except SystemExit as ended:\n"
        "    print(ended.code, {'torch', 'pandas', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("1 set()\n", "")


def test_a_changed_batch_is_compared_and_the_remedy_takes_the_old_one_out(
    main: Any, tmp_path: Path
) -> None:
    write_run(tmp_path / "wider", [whole(stage(phases(8_000)), batch_size=64), whole(batch_size=8)])
    code, out, _ = gate(main, "wider", "--junit", "j.xml")
    assert code == 1
    new = KEY.replace("b32", "b64")
    assert out.splitlines()[:3] == [
        f"grew  {new}",
        f"      was {KEY} in the golden: batch size 32 -> 64",
        "      RAM 13,600 B -> 17,600 B, +4,000 B (+29.4 %): peak_dynamic +4,000 B",
    ]
    assert out.splitlines()[-1].endswith("--golden g.json --update --prune")
    (told,) = (each for each in json.loads(gate(main, "wider", "--json")[1])["workloads"])
    assert (told["ram_before"], told["ram_after"], told["left"]) == (13_600, 17_600, 0)
    assert told["was"] == f"was {KEY} in the golden: batch size 32 -> 64"
    code, out, _ = gate(main, "wider", "--update", "--prune")
    assert code == 0
    assert out.startswith(f"accepted:\n\ngrew  {new}\n      was {KEY} in the golden: batch size")
    assert f"removed: {KEY}" in out
    assert gate(main, "wider")[0] == 0


def test_a_leak_is_named_and_never_accepted_in_silence(main: Any, tmp_path: Path) -> None:
    residual = Residual(unexplained_bytes=0, left_after_step_bytes=600)
    write_run(tmp_path / "leaky", [whole(stage(residual=residual)), whole(batch_size=8)])
    code, out, _ = gate(main, "leaky")
    assert code == 1
    assert out.startswith(f"leaks  {KEY}\n       RAM 13,600 B, as before\n")
    assert "leak: every step leaves 600 B behind, the size of addmm float32 32x10" in out
    code, out, _ = gate(main, "leaky", "--update")
    assert f"leak accepted: {KEY}: every step leaves 600 B behind" in out
    code, out, _ = gate(main, "leaky")
    assert code == 0
    assert out.startswith(
        f"note: 1 workload leaking as the golden has it; most of all {KEY}, 600 B per step\n"
    )


def test_the_gate_is_tried_on_the_smallest_workload_of_a_run(main: Any) -> None:
    code, out, err = main("good", "--self-test")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("self-test on backprop mlp-64-10 digits b")
    assert [line.split(":")[1] for line in lines[1:4]] == [" growth", " shrink", " leak"]
    assert all("planted" in line and "FAULT" not in line for line in lines[1:4])
    assert lines[4] == "self-test: every planted change was seen"


def test_a_blind_gate_fails_its_test(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trainfit.bench.gate.self_test.compare_workloads", lambda golden, measured: GateResult()
    )
    code, out, _ = main("good", "--self-test")
    assert code == 1
    assert "FAULT: growth: planted +1,024 B, saw nothing, and the gate passes" in out
    code, out, _ = main("good", "--self-test", "--json")
    assert [each["seen"] for each in json.loads(out)["planted"]] == [False] * 3


@pytest.mark.parametrize("more", [["--golden", "g.json"], ["--update"], ["--strict"]])
def test_the_test_of_the_gate_takes_nothing_else(main: Any, more: list[str]) -> None:
    code, _, err = main("good", "--self-test", *more)
    assert (code, err.count("\n")) == (2, 1)
    assert "--self-test takes RUN only" in err
