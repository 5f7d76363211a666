# ruff: noqa: F811  (fixtures that are imported)
"""What docs/ci.md and the files beside it show is run, or compared with what there is.

Only ``trainfit run`` is not: a run that looks as if it had been made stands in for it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from tests.builders.inner_pytest import imports_stay, pytester, run_pytest  # noqa: F401
from tests.builders.runs import record
from tests.builders.small_cnn import make_step
from tests.integration.test_readme import blocks
from trainfit.bench.cli import main as cli
from trainfit.bench.cli.group import imported
from trainfit.bench.gate.figures import figures_of_profile
from trainfit.bench.gate.rules import Rule
from trainfit.bench.profiler import profile_step
from trainfit.bench.records.writing import RunFolder
from trainfit.bench.suite.suite import load_suite
from trainfit.bench.testing.base import Base

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "ci.md"
WORKFLOW = ROOT / "docs" / "ci" / "trainfit-gate.yml"
COMMENT = WORKFLOW.with_name("trainfit-comment.yml")
GOLDENS = WORKFLOW.with_name("trainfit-goldens.yml")
HOOKS = ROOT / "docs" / "ci" / "pre-commit-config.yaml"


def shown() -> list[list[str]]:
    """Every command of the page, in order."""
    return [
        shlex.split(line.removeprefix("$ "))
        for block in blocks(PAGE)
        if block.language == "console"
        for line in block.text.splitlines()
    ]


def in_steps(steps: list[dict[str, Any]]) -> list[list[str]]:
    """Every command of some steps of a job, in order."""
    lines = [line for step in steps for line in step.get("run", "").splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


def in_workflow(file: Path = WORKFLOW) -> list[list[str]]:
    """Every command of a workflow, in order."""
    (job,) = yaml.safe_load(file.read_text())["jobs"].values()
    return in_steps(job["steps"])


def in_page() -> list[list[str]]:
    """Every command of the YAML on the page: a whole workflow, and steps of one."""
    whole, part = (yaml.safe_load(block.text) for block in blocks(PAGE) if block.language == "yaml")
    return in_steps(whole["jobs"]["bytes"]["steps"]) + in_steps(part)


def of_ours(commands: list[list[str]]) -> list[list[str]]:
    """Those of trainfit and pytest."""
    return [words for words in commands if words and words[0] in ("trainfit", "pytest")]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page, in the current folder."""
    for block in blocks(PAGE):
        if block.marker.startswith("file: "):
            file = pytester.path / block.marker.removeprefix("file: ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return pytester.path


def run_cli(words: list[str]) -> None:
    """A command of trainfit, which must end well; a run is made up."""
    if words[1] == "run":
        suite = load_suite(words[2])
        environment = {"versions": {"torch": "2.13.0+cpu", "trainfit": "0.1.0"}}
        with RunFolder.create(Path(words[-1]), suite.model_dump(mode="json"), environment) as run:
            for workload in suite.workloads:
                run.append(record(batch_size=workload.batch_size, options={}))
        return
    with pytest.raises(SystemExit) as ended:
        cli.main(words[1:])
    assert ended.value.code == 0, words


def test_every_command_of_the_page_does_what_it_says(
    project: Path, pytester: pytest.Pytester, capfd: Any
) -> None:
    for words in shown():
        if words[0] == "pytest":
            run_pytest(pytester, *words[1:]).assert_outcomes(passed=1)
        else:
            assert words[0] == "trainfit"
            run_cli(words)
    made = {str(file.relative_to(project)) for file in project.rglob("*.json")}
    assert {"tests/test_step.training_memory.json", "ci/benchmarks.json"} <= made
    steps = json.loads((project / "reports" / "steps.json").read_text())["steps"]
    assert [step["problems"] for step in steps] == [[]]

    test = project / "tests" / "test_step.py"
    test.write_text(test.read_text().replace("256 KiB", "32 KiB") + "# changed\n")
    result = run_pytest(pytester, "tests")
    result.assert_outcomes(failed=1)
    (text,) = (block.text for block in blocks(PAGE) if block.text.startswith("max_peak: "))
    said = [line.removeprefix("E       ") for line in result.outlines]
    said = [line.removeprefix("Failed: ") for line in said]
    assert "\n".join(said).find(text.strip()) >= 0, result.stdout.str()


def command_of(name: str) -> Any:
    return imported(name, cli.COMMANDS[name].module)


ALL = [*shown(), *in_workflow(), *of_ours(in_page()), *of_ours(in_workflow(GOLDENS))]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_line_is_understood(words: list[str], request: pytest.FixtureRequest) -> None:
    if words[0] == "trainfit":
        command_of(words[1]).make_context(words[1], words[2:]).close()
    elif words[0] == "pytest":
        for word in words[1:]:
            if word.startswith("--"):
                request.config.getoption(word.partition("=")[0])
    else:
        assert words == ["pip", "install", "-r", "requirements-ci.txt"]


def test_an_option_that_is_not_there_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        command_of("gate").make_context("gate", ["runs/a", "--goldn", "b"])


def test_the_workflow_runs_what_the_page_shows() -> None:
    """Word for word; but tests are chosen by their marker, and goldens are not made there."""
    page = [" ".join(words) for words in shown()]
    workflow = [" ".join(words).replace(" -m training_memory", "") for words in in_workflow()]
    expected = [line for line in page if "update" not in line]
    measured = [line for line in workflow if not line.startswith("pip ") and "against" not in line]
    assert measured == expected
    (against,) = (words for words in in_workflow() if "--training-memory-against" in words)
    assert against in in_page()


def test_every_option_of_the_plugin_is_explained_and_no_other() -> None:
    page = set(re.findall(r"--training-memory-[a-z-]+", PAGE.read_text("utf-8")))
    source = (ROOT / "bench" / "pytest_plugin.py").read_text("utf-8")
    assert page == set(
        re.findall(r'^        "(--training-memory-[a-z-]+)",$', source, re.MULTILINE)
    )


def test_what_is_installed_is_what_the_goldens_were_made_with() -> None:
    (text,) = (block.text for block in blocks(PAGE) if "requirements-ci.txt" in block.marker)
    pin = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pin is not None
    assert pin[0] in text.splitlines()
    (asked,) = re.findall(r'"torch(>=.*)"', (ROOT / "pyproject.toml").read_text())
    assert f"`{asked}`" in PAGE.read_text("utf-8")


def test_the_message_that_is_shown_is_that_of_the_small_net(tmp_path: Path) -> None:
    then, now = (
        figures_of_profile(profile_step(make_step(tmp_path, change), warmup=1, repeats=1))
        for change in (None, "amsgrad")
    )
    (problem,) = Base("HEAD^1", "0123abcde", {"t": then}).compare("t", now)[0]
    (shown,) = (block.text for block in blocks(PAGE) if block.text.startswith("against "))
    assert f"{problem.limit}: {problem.text}".startswith(shown.rstrip())


def test_the_comment_needs_no_code_of_the_pull_request() -> None:
    """It has the right to write, so it checks nothing out; what it is told it does not run."""
    workflow = yaml.safe_load(COMMENT.read_text())
    assert workflow[True]["workflow_run"]["workflows"] == [
        yaml.safe_load(WORKFLOW.read_text())["name"]
    ]
    assert workflow["permissions"] == {"actions": "read", "pull-requests": "write"}
    (job,) = workflow["jobs"].values()
    assert [step for step in job["steps"] if "uses" in step] == []
    assert "${{" not in "".join(step["run"] for step in job["steps"])
    downloaded = re.search(r"--name (\S+)", job["steps"][0]["run"])
    (kept,) = (
        step["with"]["name"]
        for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["bytes"]["steps"]
        if step.get("with", {}).get("path") == "reports/*.md"
    )
    assert downloaded is not None
    assert downloaded[1] == kept


GH = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *GET*pulls*) echo {number} ;;
  *--paginate*) printf '{old}' ;;
esac
"""


@pytest.mark.parametrize(
    ("number", "old", "said"),
    [
        ("7", "", "api -X POST repos/o/r/issues/7/comments -F body=@body.md"),
        ("7", "41\\n42\\n", "api -X PATCH repos/o/r/issues/comments/41 -F body=@body.md"),
        ("", "", "--jq"),
    ],
    ids=["first", "again", "closed meanwhile"],
)
def test_the_comment_is_updated_in_place(number: str, old: str, said: str, tmp_path: Path) -> None:
    """Its script run with a program in place of gh that writes down how it was called."""
    (job,) = yaml.safe_load(COMMENT.read_text())["jobs"].values()
    log, fake = tmp_path / "called", tmp_path / "gh"
    fake.write_text(GH.format(log=log, number=number, old=old))
    fake.chmod(0o755)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "memory.md").write_text("### training memory: pass\n")
    (tmp_path / "report" / "suite.md").write_text("x" * 65_500)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "GH_REPO": "o/r",
        "HEAD": "someone:branch",
        "HEAD_SHA": "0123",
    }
    subprocess.run(
        ["bash", "-e", "-c", job["steps"][1]["run"]], check=True, cwd=tmp_path, env=environment
    )
    assert said in log.read_text().splitlines()[-1]
    if number:
        body = (tmp_path / "body.md").read_text()
        assert body.startswith("<!-- trainfit -->\n### training memory: pass\n")
        assert "report/suite.md is too long to stand here" in body
        assert len(body) < 65_536


def test_goldens_are_offered_by_what_makes_them() -> None:
    workflow = yaml.safe_load(GOLDENS.read_text())
    assert workflow[True] == "workflow_dispatch"
    (job,) = workflow["jobs"].values()
    assert "${{" not in "".join(step.get("run", "") for step in job["steps"])
    updates = [words for words in of_ours(in_workflow(GOLDENS)) if "update" in " ".join(words)]
    assert {words[0] for words in updates} == {"pytest", "trainfit"}
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    subprocess.run(["bash", "-n", "-c", commands], check=True)


def test_the_workflow_may_only_read_and_pins_its_actions() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    (shown,) = (
        yaml.safe_load(block.text)
        for block in blocks(PAGE)
        if block.marker.startswith("file: .github")
    )
    assert shown["permissions"] == {"contents": "read"}
    assert shown["name"] == workflow["name"]
    own = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    used = {step["uses"] for step in own["jobs"]["tox"]["steps"] if "uses" in step}
    assert {step["uses"] for step in job["steps"] if "uses" in step} <= used
    assert job["timeout-minutes"] > 0
    assert "${{" not in " ".join(" ".join(words) for words in in_workflow())


def hooks(file: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(file.read_text())
    if isinstance(document, list):
        return document
    return [hook for repository in document["repos"] for hook in repository["hooks"]]


def test_both_files_of_hooks_have_the_same() -> None:
    offered = hooks(ROOT / ".pre-commit-hooks.yaml")
    for hook in offered:
        assert hook.pop("description")
    assert offered == hooks(HOOKS)
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in offered)


@pytest.mark.parametrize(("gate", "code"), [(0, 0), (1, 1), (3, 3)])
def test_the_hook_measures_and_gates(gate: int, code: int, tmp_path: Path) -> None:
    """With programs in place of trainfit that write down how they were called."""
    (hook,) = (hook for hook in hooks(HOOKS) if hook["id"] == "trainfit-gate")
    fake = tmp_path / "trainfit"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n[ "$1" = run ] && mkdir "$4"'
        f" && exit 0\n[ -d $2 ] && exit {gate}\n"
    )
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*shlex.split(hook["entry"]), *hook["args"]],
        check=False,
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == code
    run, gated = ((tmp_path / "called").read_text()).splitlines()
    folder = run.split()[3]
    assert run == f"run ci/memory.toml --out {folder} --quiet"
    assert gated == f"gate {folder} --golden ci/memory.json --strict"
    assert not Path(folder).parent.exists()
    for line in (run, gated):
        words = line.split()
        command_of(words[0]).make_context(words[0], [w for w in words[1:] if w != "--quiet"])


def test_the_hook_for_tests_chooses_the_marked_ones(pytester: pytest.Pytester) -> None:
    (hook,) = (hook for hook in hooks(HOOKS) if hook["id"] == "trainfit-steps")
    pytester.makepyfile(
        "import pytest\n\n@pytest.mark.training_memory(max_peak='1 B')\ndef test_a():\n    pass\n\n"
        "def test_b():\n    pass\n"
    )
    words = shlex.split(hook["entry"])
    assert words[:3] == ["python", "-m", "pytest"]
    result = run_pytest(pytester, *words[3:], "--collect-only")
    result.stdout.fnmatch_lines(["test_*::test_a", "1/2 tests collected (1 deselected)*"])


def test_the_rule_that_is_shown_is_a_rule() -> None:
    (text,) = (block.text for block in blocks(PAGE) if block.language == "json")
    assert TypeAdapter(Rule).validate_json(text).percent == 2.0


def test_every_argument_of_the_marker_is_explained() -> None:
    from trainfit.bench.testing.limits import ARGUMENTS

    rows = re.findall(r"^\| `(\w+)=", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(ARGUMENTS)


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text("utf-8"))
    assert len(targets) == 4
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


def test_the_exit_codes_are_those_of_the_gate() -> None:
    from trainfit.bench.gate.compare import Finding, FindingKind, GateResult, Severity

    page = PAGE.read_text("utf-8")
    rows = dict(re.findall(r"^\| (\d) \| ([^|:,]+)", page, re.MULTILINE))
    failed = Finding("w", FindingKind.GREW, Severity.FAIL)
    for result in (GateResult(), GateResult([failed]), GateResult(incomparable=["torch"])):
        assert str(result.exit_code) in rows
    assert rows["1"] == "a regression"
    assert rows["3"] == "not comparable"
