from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from trainfit.bench import environment
from trainfit.bench.environment import describe_environment, git_revision, trainfit_version


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def test_everything_that_figures_depend_on_is_there() -> None:
    found = describe_environment()

    assert set(found["versions"]) == {"trainfit", "torch", "numpy", "numba", "python"}
    assert found["versions"]["torch"].startswith("2.")
    assert found["machine"]["usable_cores"] >= 1
    assert found["machine"]["cpu"]
    assert found["machine"]["cpu_capability"]
    assert found["machine"]["onednn_available"] in {True, False}
    assert found["started_at"].endswith("+00:00")


def test_the_revision_of_the_working_tree(tmp_path: Path) -> None:
    # GIVEN no repository, then one with a commit, then a change
    assert git_revision(tmp_path) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")

    clean = git_revision(tmp_path)
    (tmp_path / "new").write_text("")
    dirty = git_revision(tmp_path)

    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    assert dirty == {**clean, "dirty": True}


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert git_revision(Path.cwd()) is None


def test_the_version_comes_from_the_source_tree_where_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment, "version", missing)
    assert trainfit_version()[0].isdigit()

    monkeypatch.setattr(environment, "__file__", "/nowhere/bench/environment.py")
    assert trainfit_version() == "unknown"


def test_a_machine_that_does_not_say_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(environment.platform, "processor", lambda: "")

    assert environment._cpu_model() is None
