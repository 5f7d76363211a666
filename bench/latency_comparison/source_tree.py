"""Another revision of a repository as a folder of files, and processes that run what is in it.

``git worktree`` checks the revision out beside the repository, which stays as it is, unsaved
changes included. The worktree goes when it is left; by an error, by Ctrl-C, by a request to
terminate or with the terminal, too.

:func:`trainfit.bench.processes.isolation.call` forks from one server, which has imported one tree;
two revisions of the same modules need two interpreters. Both sides of a comparison are started by
:class:`TreeProcesses`, so that they differ in nothing but the tree. A fresh interpreter also lays
its memory out again, which is what several pairs of processes are for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType

import trainfit
from trainfit._files import FileError, parse_toml, read_text
from trainfit.algorithms.outside import permitted
from trainfit.bench.errors import BenchError
from trainfit.bench.processes.child import Ending, Message, Outcome, Send
from trainfit.bench.processes.endings import end_group
from trainfit.bench.processes.isolation import listen
from trainfit.bench.processes.logs import Log

GIT_SECONDS = 300.0
"""A command of git may take this long; checking out a large tree on a slow disk takes a while."""

_OF_ONE_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
"""What git sets for the hooks it runs; it would override the folder that a command names."""

_ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a request to terminate, and a terminal that was closed."""


_PROGRAM = Path(__file__).with_name("tree_child.py")

_LAST_SECONDS = 5.0
"""A process that has closed its pipe may take so long to end by itself."""

_LAST_WORDS_BYTES = 4096
"""How much of a log is searched for why a process ended without a word."""


class RevisionError(BenchError):
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
            RevisionError: There is none, it has no commit yet, or git is not there.
        """
        try:
            places = git(folder, "rev-parse", "--show-toplevel", "--show-prefix").splitlines()
            head = git(folder, "rev-parse", "--verify", "HEAD^{commit}").strip()
            dirty = bool(git(folder, "status", "--porcelain").strip())
        except GitError as error:
            raise RevisionError(
                f"comparing revisions needs a git repository, and {folder} is not in one that git"
                f" can read: {error}"
            ) from error
        return cls(Path(places[0]), Path(*places[1:]), head, dirty)

    @property
    def name(self) -> str:
        """What people call its present state."""
        return f"the working tree ({self.head[:9]}{' and changes' if self.dirty else ''})"

    def commit(self, revision: str) -> str:
        """The full name of the commit that a revision means.

        Raises:
            RevisionError: There is no such revision.
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
            raise RevisionError(f"{revision!r}: no such revision in {self.root}; {hint}") from error

    @contextmanager
    def checked_out(self, commit: str) -> Iterator[Path]:
        """A commit's files in a folder of their own, gone afterwards.

        Raises:
            RevisionError: git cannot check it out.
        """
        scratch = Path(mkdtemp(prefix="trainfit-revision-")).resolve()
        tree = scratch / "tree"
        with _terminated_as_interrupted():
            try:
                try:
                    # without hooks: one that builds something would do so for a moment's tree
                    self._worktree("add", "--quiet", "--detach", str(tree), commit)
                except GitError as error:
                    raise RevisionError(
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
        project = parse_toml(read_text(root / "pyproject.toml")).get("project", {})
        return sorted(str(each) for each in project.get("dependencies", []))
    except (FileError, AttributeError, TypeError):
        return []


def git(folder: Path, *arguments: str) -> str:
    """What a command of git prints, run in a folder.

    Raises:
        RevisionError: There is no git.
        GitError: It failed.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _OF_ONE_REPOSITORY}
    # Found on the PATH, as everybody's git is. A repository can name a program that watches it.
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
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
        raise RevisionError("comparing needs git, and there is none on the PATH") from error
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
        fatal = [line for line in said if line.startswith(("fatal:", "error:"))]
        raise GitError((fatal or said or [f"exit code {error.returncode}"])[0]) from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} still ran after {GIT_SECONDS:g} s") from error


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let what ends a program unwind as Ctrl-C does; by default it would leave all lying.

    A signal that is ignored stays so: ``nohup`` is to outlive the terminal.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may choose what a signal does
        return
    heeded = [n for n in _ENDED_BY[1:] if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a second Ctrl-C wait until what it would leave half done is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDED_BY)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- processes -----------------------------------------------------------------------------------


class TreeProcesses:
    """Processes of one source tree.

    Args:
        paths: Where modules are looked for first, before the interpreter's own places.
        folder: The working directory of the processes; modules are looked for there last, where
            an algorithm from outside may be imported at all.
    """

    def __init__(self, paths: Sequence[Path], folder: Path) -> None:
        self._paths = [str(path) for path in paths]
        self._folder = folder
        self.source: str | None = None
        """The file of the algorithm that ran last, as the process found it."""

    def call(
        self,
        target: str,
        job: Message,
        *,
        log: Path,
        timeout_seconds: float,
        preload: Sequence[str] = (),
        on_message: Send = lambda _: None,
        on_start: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> Outcome:
        """Run ``function(job, send)`` of the tree, as ``isolation.call`` does.

        Args:
            target: The function, as ``module:function``.
            job: Its first argument, made of what JSON can hold.
            log: File that receives whatever the process writes to stdout and stderr.
            timeout_seconds: After this long the process is killed.
            preload: Not used: nothing is kept from one process to the next.
            on_message: Called with everything that the function sends, as it comes.
            on_start: Called with a function that kills the process.
        """
        del preload
        ours, theirs = Pipe()
        writer = Log(log)
        process = self._start(theirs.fileno(), writer.output.fileno())
        theirs.close()
        writer.start()
        on_start(partial(end_group, process.pid))
        on_message({"doing": "starting"})

        def heard(message: Message) -> None:
            if "source" in message:
                self.source = message["source"]
            else:
                on_message(message)

        workload = job.get("workload")
        algorithm = workload.get("algorithm") if isinstance(workload, dict) else None
        outside = permitted()
        whole = {
            "target": target,
            "job": job,
            "algorithm": algorithm,
            "outside": outside,
            "last_path": str(self._folder) if outside is None or outside else None,
        }
        try:
            with suppress(BrokenPipeError):  # it has ended; the log says why
                ours.send(whole)
            outcome = listen(ours, timeout_seconds, heard, process.pid)
            if outcome is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LAST_SECONDS)
        finally:
            ours.close()
            end_group(process.pid)
            process.wait()
            writer.finish()
        return _died(process.returncode, log) if outcome is None else outcome

    def _start(self, pipe: int, output: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(self._paths)
        environment.setdefault("KINETO_LOG_LEVEL", "99")  # see trainfit.bench.processes.isolation
        return subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(pipe)],
            cwd=self._folder,
            env=environment,
            pass_fds=[pipe],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )


def trees(repository: Repository, other: Path) -> tuple[TreeProcesses, TreeProcesses]:
    """Processes of another revision's tree, and of the working tree.

    A tree that holds packages of this project comes first on the path; what of ``PYTHONPATH`` lies
    in the working tree is taken from the other one on the other side.

    Args:
        repository: Where the working tree is.
        other: The folder that the other revision is checked out into.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    given = [Path(each).resolve() for each in entries if each]
    here = Path(str(trainfit.__file__)).resolve().parent.parent
    if not here.is_relative_to(repository.root):  # not installed, but called from its sources
        given.append(here)

    def of(tree: Path) -> TreeProcesses:
        own = [tree] if (tree / "trainfit").is_dir() else []
        moved = [
            tree / path.relative_to(repository.root)
            if path.is_relative_to(repository.root)
            else path
            for path in given
        ]
        folder = tree / repository.prefix
        return TreeProcesses([*own, *moved], folder if folder.is_dir() else tree)

    return of(other), of(repository.root)


def _died(exit_code: int, log: Path) -> Outcome:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LAST_WORDS_BYTES))
        lines = stream.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return Outcome(Ending.DIED, "ProcessExit", f"process ended early, {how}: {last or 'no word'}")
