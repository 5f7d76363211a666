"""Another revision of a repository as a folder of files, for as long as it is needed.

``git worktree`` checks the revision out beside the repository, which stays as it is, unsaved
changes included. The worktree goes when it is left; by an error, by Ctrl-C or by a request to
terminate, too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType

from trainfit.bench.errors import BenchError

GIT_SECONDS = 300.0
"""A command of git may take this long; checking out a large tree on a slow disk takes a while."""

_OF_ONE_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""What git sets for the hooks it runs; it would override the folder that a command names."""

_ENDED_BY = (signal.SIGINT, signal.SIGTERM)


class AgainstError(BenchError):
    """There is nothing to compare with; the message says why and what would help."""


class GitError(Exception):
    """A command of git failed; the message is git's own."""


@dataclass(frozen=True)
class Repository:
    """The repository whose revisions are compared.

    Attributes:
        root: The top folder of its working tree.
        prefix: Where in it the current folder lies; empty at the top.
        head: The full name of the commit that is checked out.
        dirty: Its files differ from that commit, or there are new ones.
    """

    root: Path
    prefix: Path
    head: str
    dirty: bool

    @classmethod
    def at(cls, folder: Path) -> Repository:
        """The repository that a folder is in.

        Raises:
            AgainstError: There is none, it has no commit yet, or git is not there.
        """
        try:
            places = git(folder, "rev-parse", "--show-toplevel", "--show-prefix").splitlines()
            head = git(folder, "rev-parse", "--verify", "HEAD^{commit}").strip()
            dirty = bool(git(folder, "status", "--porcelain").strip())
        except GitError as error:
            raise AgainstError(
                f"--against needs the revisions of a git repository, and {folder} is not in one"
                f" that git can read: {error}"
            ) from error
        return cls(Path(places[0]), Path(*places[1:]), head, dirty)

    @property
    def name(self) -> str:
        """What people call its present state."""
        return f"the working tree ({self.head[:9]}{' and changes' if self.dirty else ''})"

    def commit(self, revision: str) -> str:
        """The full name of the commit that a revision means.

        Raises:
            AgainstError: There is no such revision.
        """
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        try:
            return git(self.root, *asked).strip()
        except GitError as error:
            shallow = "true" in git(self.root, "rev-parse", "--is-shallow-repository")
            hint = (
                "this is a shallow clone: fetch the revision first (git fetch --depth 1 origin REV)"
                if shallow
                else "name a branch, a tag or a commit, such as HEAD~1 (git log shows them)"
            )
            raise AgainstError(
                f"--against {revision}: no such revision in {self.root}; {hint}"
            ) from error

    @contextmanager
    def checked_out(self, commit: str) -> Iterator[Path]:
        """A commit's files in a folder of their own, gone afterwards.

        Raises:
            AgainstError: git cannot check it out.
        """
        scratch = Path(mkdtemp(prefix="trainfit-against-")).resolve()
        tree = scratch / "tree"
        with _terminated_as_interrupted():
            try:
                try:
                    # without hooks: one that builds something would do so for a moment's tree
                    self._worktree("add", "--quiet", "--detach", str(tree), commit)
                except GitError as error:
                    raise AgainstError(
                        f"cannot check {commit[:9]} out into {tree}: {error}"
                    ) from error
                yield tree
            finally:
                with _undisturbed():
                    self._remove(tree, scratch)

    def _remove(self, tree: Path, scratch: Path) -> None:
        try:
            self._worktree("remove", "--force", "--force", str(tree))
        except GitError:  # it was interrupted halfway: take the files away, then git's note of them
            shutil.rmtree(tree, ignore_errors=True)
            with suppress(GitError):
                self._worktree("prune")
        shutil.rmtree(scratch, ignore_errors=True)

    def _worktree(self, *arguments: str) -> None:
        git(self.root, "-c", f"core.hooksPath={os.devnull}", "worktree", *arguments)


def declared_dependencies(root: Path) -> list[str]:
    """What a tree's ``pyproject.toml`` asks to be installed, sorted; empty if it does not say."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("project", {})
        return sorted(str(each) for each in project.get("dependencies", []))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError):
        return []


def git(folder: Path, *arguments: str) -> str:
    """What a command of git prints, run in a folder.

    Raises:
        AgainstError: There is no git.
        GitError: It failed.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _OF_ONE_REPOSITORY}
    command = ["git", "-C", str(folder), *arguments]  # found on the PATH, as everybody's git is
    try:
        return subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            env=environment,
            stdin=subprocess.DEVNULL,
        ).stdout
    except FileNotFoundError as error:
        raise AgainstError("--against needs git, and there is none on the PATH") from error
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        fatal = [line for line in said if line.startswith(("fatal:", "error:"))]
        raise GitError((fatal or said or [f"exit code {error.returncode}"])[0]) from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} still ran after {GIT_SECONDS:g} s") from error


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let a request to terminate unwind as Ctrl-C does; by default it would leave all lying."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may choose what a signal does
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait until what it would leave half done is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDED_BY)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
