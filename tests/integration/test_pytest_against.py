# ruff: noqa: F811  (fixtures that are imported)
"""``pytest --training-memory-against REV`` in a repository of somebody else, with git.

The measuring is made up, so that neither side imports torch: a step returns its own profile, with
the bytes that the project's package says. The other revision really is checked out, and pytest
really runs there in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders.inner_pytest import imports_stay, pytester, run_pytest  # noqa: F401
from trainfit.bench.testing.base_run import foreign_modules

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[2]

CONFTEST = """
import sys
from types import ModuleType

profiler = ModuleType("trainfit.bench.profiler")
profiler.profile_step = lambda step, *, warmup, repeats, steps: step()
sys.modules.setdefault("trainfit.bench.profiler", profiler)
"""

PACKAGE = """
from types import SimpleNamespace

def step(peak={peak}, static=1_000, left={left}):
    phase = SimpleNamespace(
        peak_bytes=peak, entry_bytes=0, exit_bytes=left, categories={{"activations": peak}},
        live_at_peak=[Block(peak)],
    )
    return SimpleNamespace(
        peak_dynamic_bytes=peak, peak_phase="forward", phases={{"forward": phase}},
        static_bytes=static, static_categories={{"parameters": static}}, categories={{}},
        live_at_peak=[Block(peak)], entry_bytes=0, left_after_step_bytes=left, deterministic=True,
        repeats=3,
    )

class Block(tuple):
    def __new__(cls, size):
        return super().__new__(cls, (size, "forward", "activations", f"relu float32 {{size}}"))

    size, phase, category, label = (property(lambda self, at=at: self[at]) for at in range(4))
    module, line = "body", "src/mine/__init__.py:4"
"""

TEST = """
import mine
import pytest

def test_{name}(training_memory):
    training_memory(mine.step)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit: a package below ``src``, two tests, one of which measures."""
    monkeypatch.setattr("trainfit.bench.profiler.profile_step", lambda step, **_: step())
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    scratch = pytester.path.parent / f"{pytester.path.name}-scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = pytester.path
    write(folder, "pytest.ini", "[pytest]\npythonpath = src\ntestpaths = tests\n")
    write(folder, "tests/conftest.py", CONFTEST)
    write(folder, "tests/test_step.py", TEST.format(name="a"))
    write(folder, "tests/test_other.py", "def test_other():\n    assert False, 'not to be run'\n")
    write(folder, "src/mine/__init__.py", PACKAGE.format(peak=2_000, left=0))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "a@example.org")
    git(folder, "config", "user.name", "a")
    commit(folder)
    return folder


def write(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")


def nothing_is_left(folder: Path) -> None:
    assert len(git(folder, "worktree", "list").splitlines()) == 1
    assert list(Path(os.environ["TMPDIR"]).glob("trainfit-revision-*")) == []


@pytest.mark.slow
def test_growth_fails_and_needs_no_golden(project: Path, pytester: pytest.Pytester) -> None:
    write(project, "src/mine/__init__.py", PACKAGE.format(peak=2_500, left=0))
    write(project, "tests/test_new.py", TEST.format(name="new"))
    result = run_pytest(
        pytester,
        "--training-memory-against=main",
        "--training-memory-markdown=page.md",
        "--deselect=tests/test_other.py",
    )
    result.assert_outcomes(failed=1, passed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "E       Failed: against main (*): RAM 3,000 B -> 3,500 B, +500 B (+16.7 %):"
            " peak_dynamic +500 B, 1 figure is not what it was; nothing * may grow",
            "E           grown: relu float32 2000, 2,000 B -> relu float32 2500, 2,500 B"
            " (activations), in forward [[]body at src/mine/__init__.py:4]",
            "E           ram_bytes: 3,000 B -> 3,500 B, +500 B (+16.7 %)",
            "against main (*): 1 step compared, 1 changed",
            "  new: tests/test_new.py::test_new: main has no such step",
        ]
    )
    page = (project / "page.md").read_text()
    assert "| grew | `tests/test_step.py::test_a` | 3,000 B -> 3,500 B, +500 B (+16.7 %)" in page
    nothing_is_left(project)


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
def test_less_is_told_and_fails_only_if_asked(
    strict: bool, project: Path, pytester: pytest.Pytester
) -> None:
    write(project, "tests/test_gone.py", TEST.format(name="gone"))
    commit(project)
    git(project, "rm", "-q", "tests/test_gone.py")
    write(project, "src/mine/__init__.py", PACKAGE.format(peak=1_500, left=0))
    words = ["--training-memory-strict"] if strict else []
    result = run_pytest(
        pytester, "--training-memory-against=HEAD", "--ignore=tests/test_other.py", *words
    )
    result.assert_outcomes(failed=int(strict), passed=int(not strict))
    result.stdout.fnmatch_lines(
        [
            "against HEAD (*): 1 step compared, 1 changed",
            "  gone: tests/test_gone.py::test_gone: only HEAD has it",
        ]
    )


@pytest.mark.slow
def test_a_leak_is_growth_and_workers_compare_too(project: Path, pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    write(project, "src/mine/__init__.py", PACKAGE.format(peak=2_000, left=64))
    result = run_pytest(
        pytester, "-n1", "--training-memory-against=main", "tests/test_step.py::test_a"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       Failed: against main (*): RAM 3,000 B, as before, *",
            "E           leak: every step leaves 64 B behind*",
            "against main (*): 1 step compared, 1 changed",
        ]
    )


@pytest.mark.slow
def test_the_working_tree_is_not_compared_with_itself(
    project: Path, pytester: pytest.Pytester
) -> None:
    """As an editable install would have it: the package comes from there, whoever asks."""
    own = f"import sys\nsys.path.insert(0, {str(project / 'src')!r})\n"
    write(project, "tests/conftest.py", own + CONFTEST)
    commit(project)
    result = run_pytest(pytester, "--training-memory-against=main", "tests/test_step.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: --training-memory-against main: the tests of main import mine from {project}"
            "/src/mine/__init__.py, which is the working tree's: it would be compared *"
        ]
    )
    nothing_is_left(project)


def test_what_pip_copied_from_the_working_tree_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution as ``pip install .`` leaves it, whose module a base would import."""
    site, root, here = (tmp_path / name for name in ("site-packages", "repository", "tree"))
    module, finder = "trainfit_test_of_a_copy", "__editable___trainfit_test_finder"
    write(site, f"{module}.py", "")
    write(site, f"{finder}.py", "")
    info = f"{module}-1.0.dist-info"
    write(site, f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    write(site, f"{info}/RECORD", f"{module}.py,,\n{finder}.py,,\n{info}/METADATA,,\n")
    monkeypatch.syspath_prepend(site)
    for name in (module, finder):
        importlib.import_module(name)
    try:
        for origin, found in ((root, [module]), (tmp_path / "elsewhere", [])):
            write(site, f"{info}/direct_url.json", json.dumps({"url": origin.as_uri()}))
            assert list(dict(foreign_modules(root, here))) == found
    finally:
        for name in (module, finder):
            del sys.modules[name]


@pytest.mark.slow
def test_where_no_test_passed_there_nothing_was_compared(
    project: Path, pytester: pytest.Pytester
) -> None:
    write(project, "src/mine/__init__.py", "raise RuntimeError('broken')\n")
    late = TEST.format(name="b").replace("import mine", "", 1)
    late = late.replace("    training", "    import mine\n    training")
    write(project, "tests/test_late.py", late)
    commit(project)
    write(project, "src/mine/__init__.py", PACKAGE.format(peak=2_000, left=0))
    result = run_pytest(
        pytester, "--training-memory-against=HEAD", "tests/test_late.py", "tests/test_step.py"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "  not compared: tests/test_late.py::test_b: at HEAD it failed",
            "  not compared: tests/test_step.py::test_a: at HEAD it could not be collected",
            "ERROR: nothing was compared: no test passed at HEAD (*)",
        ]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--training-memory-against=nowhere"], "*'nowhere': no such revision in *"),
        (["--training-memory-against="], "*'': no such revision in *"),
        (["--training-memory-strict"], "*--training-memory-strict is for *against REV"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    words: list[str], said: str, project: Path, pytester: pytest.Pytester
) -> None:
    result = run_pytest(pytester, *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    nothing_is_left(project)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_it_is_ended(number: int, project: Path) -> None:
    """In the middle of the other revision's tests."""
    started = Path(os.environ["TMPDIR"]) / "started"
    slow = f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(60)\n"
    write(project, "tests/conftest.py", slow)
    commit(project)
    write(project, "tests/conftest.py", CONFTEST)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "--training-memory-against=HEAD", "tests"],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 60
        while not started.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert started.exists()
        process.send_signal(number)
        assert process.wait(timeout=60) != 0
    finally:
        process.kill()
        process.wait()
    nothing_is_left(project)
