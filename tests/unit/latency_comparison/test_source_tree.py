"""Another revision as a folder: what is refused, and that nothing is left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.fakes.revision_repo import commit, git, worktrees
from trainfit.bench.latency_comparison.source_tree import (
    Repository,
    RevisionError,
    declared_dependencies,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, and a change that is in neither."""
    folder = tmp_path / "own"
    folder.mkdir()
    git(folder, "init", "-q")
    for text in ("first", "second"):
        (folder / "file").write_text(text, encoding="utf-8")
        commit(folder, text)
    (folder / "file").write_text("third", encoding="utf-8")
    return folder


def test_a_revision_is_checked_out_beside_the_working_tree(repository: Path) -> None:
    (repository / "sub").mkdir()
    found = Repository.at(repository / "sub")

    assert found.root == repository.resolve()
    assert found.prefix == Path("sub")
    assert found.dirty
    assert found.name == f"the working tree ({found.head[:9]} and changes)"
    with found.checked_out(found.commit("HEAD~1")) as tree:
        assert (tree / "file").read_text("utf-8") == "first"
        assert (repository / "file").read_text("utf-8") == "third"
        assert len(worktrees(repository)) == 2
    assert not tree.exists()
    assert not tree.parent.exists()
    assert len(worktrees(repository)) == 1


def test_a_clean_tree_is_said_to_be_one(repository: Path) -> None:
    git(repository, "checkout", "-q", "file")

    found = Repository.at(repository)

    assert not found.dirty
    assert found.prefix == Path()
    assert found.name == f"the working tree ({found.head[:9]})"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_unwinds(repository: Path, name: str) -> None:
    found = Repository.at(repository)
    as_shells_have_it = signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = {each: signal.signal(each, signal.SIG_DFL) for each in (15, 1)}

    with pytest.raises(KeyboardInterrupt), found.checked_out(found.head) as tree:
        signal.raise_signal(getattr(signal, name))

    signal.signal(signal.SIGINT, as_shells_have_it)
    assert not tree.parent.exists()
    assert len(worktrees(repository)) == 1
    assert {signal.signal(each, before) for each, before in chosen.items()} == {signal.SIG_DFL}


def test_what_is_to_outlive_its_terminal_does(repository: Path) -> None:
    found = Repository.at(repository)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it

    with found.checked_out(found.head) as tree:
        signal.raise_signal(signal.SIGHUP)
        assert tree.is_dir()

    assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN


def test_files_that_were_made_in_it_go_too_and_hooks_do_not_run(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {repository / 'ran'}\n", encoding="utf-8")
    hook.chmod(0o755)
    found = Repository.at(repository)

    with found.checked_out(found.head) as tree:
        (tree / "__pycache__").mkdir()
        (tree / "file").write_text("changed", encoding="utf-8")

    assert not tree.exists()
    assert not (repository / "ran").exists()


def test_a_tree_that_is_gone_before_its_time_leaves_no_note_of_it(repository: Path) -> None:
    import shutil

    found = Repository.at(repository)
    with found.checked_out(found.head) as tree:
        shutil.rmtree(tree)

    assert len(worktrees(repository)) == 1


def test_what_a_hook_sets_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))

    assert Repository.at(repository).root == repository.resolve()


# ---- what is refused -----------------------------------------------------------------------------


def test_a_folder_without_a_repository(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match=r"needs a git repository.*not a git"):
        Repository.at(tmp_path)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    with pytest.raises(RevisionError, match="needs a git repository"):
        Repository.at(tmp_path)


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(RevisionError, match="needs git, and there is none on the PATH"):
        Repository.at(repository)


@pytest.mark.parametrize("revision", ["nowhere", "HEAD~7", "--all", "", "HEAD:file"])
def test_a_revision_that_does_not_exist(repository: Path, revision: str) -> None:
    found = Repository.at(repository)

    with pytest.raises(RevisionError, match="no such revision") as raised:
        found.commit(revision)
    assert str(raised.value).startswith(f"{revision!r}: ")
    assert "git log shows them" in str(raised.value)


def test_a_shallow_clone_is_told_to_fetch(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), str(copy))

    with pytest.raises(RevisionError, match="shallow clone: fetch the revision first"):
        Repository.at(copy).commit("HEAD~1")


def test_a_commit_that_cannot_be_checked_out(repository: Path) -> None:
    found = Repository.at(repository)

    refused = pytest.raises(RevisionError, match="cannot check 000000000 out")
    with refused, found.checked_out("0" * 40):
        pytest.fail("there is no such commit")
    assert len(worktrees(repository)) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, []),
        ("[project", []),
        ("project = 3", []),
        ('[project]\ndependencies = ["torch==2", "numpy"]', ["numpy", "torch==2"]),
    ],
)
def test_dependencies_a_tree_declares(tmp_path: Path, text: str | None, found: list[str]) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert declared_dependencies(tmp_path) == found
