"""``trainfit compare-revisions``, as people use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.revision_repo import commit, git, make_repository, say
from trainfit.bench.cli import main as cli
from trainfit.bench.latency_comparison.paired import compare_latency
from trainfit.bench.latency_comparison.revisions import NEEDED
from trainfit.bench.latency_comparison.source_tree import TreeProcesses
from trainfit.bench.latency_comparison.turns import BlockLimits
from trainfit.bench.suite.workload_text import parse_workload

ROOT = Path(__file__).parent.parent.parent
WORKLOAD = ("--workload", "backprop mlp-64-10 digits b32")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_repository(tmp_path / "own")
    monkeypatch.chdir(folder)
    for name in ("PYTHONPATH", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def main(capfd: Any) -> Any:
    """The command line in this process: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments])
        return (ended.value.code, *capfd.readouterr())

    return run


def test_a_slow_down_fails_the_job(repository: Path, main: Any, tmp_path: Path) -> None:
    say(repository, step_seconds=0.0013)
    files = {"--markdown": tmp_path / "report.md", "--junit": tmp_path / "junit.xml"}

    given = [str(word) for item in files.items() for word in item]
    code, out, err = main("compare-revisions", "HEAD", *WORKLOAD, "--pairs", "4", "--json", *given)

    assert (code, err) == (1, "")
    found = json.loads(out)
    assert (found["verdict"], found["exit_code"]) == ("regression", 1)
    assert found["against"][0]["ratio"] == pytest.approx(1.3, rel=1e-3)
    assert found["commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert (
        files["--markdown"]
        .read_text("utf-8")
        .startswith("### trainfit compare-revisions: regression")
    )
    assert "<failure" in files["--junit"].read_text("utf-8")


def test_what_cannot_be_compared(repository: Path, main: Any) -> None:
    (repository / NEEDED).unlink()
    commit(repository)

    code, out, err = main("compare-revisions", "HEAD", *WORKLOAD)

    assert code == 3
    assert out.splitlines()[-1].startswith("not comparable: ")
    assert err.startswith("trainfit: not comparable: backprop mlp-64-10 digits b32: HEAD has no ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", *WORKLOAD), "'nowhere': no such revision"),
        (("HEAD",), "compare-revisions needs something to measure: --suite quick"),
        (("HEAD", *WORKLOAD, "--pairs", "2"), "--pairs 2: must be an even number"),
        (("HEAD", *WORKLOAD, "--max-ratio", "0.9"), "must be above 1"),
        (("HEAD", *WORKLOAD, "--github", "--json"), "both print to stdout"),
        (("HEAD", "--suite", "quik"), "did you mean quick"),
        (("HEAD", "--workload", "backprop b8"), "it has no model"),
        (
            ("HEAD", "--workload", "bakprop mlp-64-10 digits b8"),
            "the working tree cannot run what is asked for: unknown algorithm 'bakprop'",
        ),
        ((), "Missing argument 'REV'"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_bad_input_is_one_line(main: Any, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = main("compare-revisions", *arguments)

    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("trainfit: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("--against", "main", *WORKLOAD), ("--against=main", "--pairs=4")]
)
def test_the_option_that_this_was_names_the_command(main: Any, words: tuple[str, ...]) -> None:
    code, out, err = main("gate", *words)

    assert (code, out) == (2, "")
    assert "is a command of its own now: trainfit compare-revisions REV" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_this_project_s_own_tree_can_be_either_side() -> None:
    workload = parse_workload("backprop mlp-64-10 digits b32")
    limits = BlockLimits(most_pairs=10)

    then, now = TreeProcesses([ROOT], ROOT), TreeProcesses([ROOT], ROOT)
    found = compare_latency(workload, workload, limits=limits, calls=(then.call, now.call))

    assert found.blocks == 10
    assert found.a.median > 0
    assert found.b.median > 0
    assert (
        then.source == now.source == str(ROOT / "trainfit" / "algorithms" / "backprop" / "rule.py")
    )
