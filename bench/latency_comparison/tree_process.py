"""Running functions of a source tree that is not the one in use, each in a fresh interpreter.

:func:`trainfit.bench.processes.isolation.call` forks from one server, which has imported one tree;
two revisions of the same modules need two interpreters. Both sides of a comparison are started this
way, so that they differ in nothing but the tree. A fresh interpreter also lays its memory out anew,
which is what several pairs of processes are for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trainfit
from trainfit.bench.latency_comparison.git_worktree import Repository
from trainfit.bench.processes.child import Ending, Message, Outcome, Send

_PROGRAM = Path(__file__).with_name("tree_child.py")

_LAST_WORDS_BYTES = 4096
"""How much of a log is searched for why a process ended without a word."""


class TreeProcesses:
    """Processes of one source tree; whatever still runs when it is left is killed.

    Args:
        paths: Where modules are looked for first, before the interpreter's own places.
        folder: The working directory of the processes; modules are looked for there last, as the
            command line looks for a user's own algorithm.
    """

    def __init__(self, paths: Sequence[Path], folder: Path) -> None:
        self._paths = [str(path) for path in paths]
        self._folder = folder
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.source: str | None = None
        """The file of the algorithm that ran last, as the process found it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End what still runs."""
        with self._lock:
            left = list(self._running)
        for process in left:
            process.kill()
        for process in left:
            process.wait()

    def call(
        self,
        target: str,
        job: Message,
        *,
        log: Path,
        timeout_seconds: float,
        preload: Sequence[str] = (),
        on_message: Send = lambda _: None,
    ) -> Outcome:
        """Run ``function(job, send)`` of the tree, as ``isolation.call`` does.

        Args:
            target: The function, as ``module:function``.
            job: Its first argument, made of what JSON can hold.
            log: File that receives whatever the process writes to stdout and stderr.
            timeout_seconds: After this long the process is killed.
            preload: Not used: nothing is kept from one process to the next.
            on_message: Called with everything that the function sends, as it comes.
        """
        del preload
        ours, theirs = Pipe()
        process = self._start(theirs.fileno(), log)
        theirs.close()
        on_message({"doing": "starting"})
        workload = job.get("workload")
        algorithm = workload.get("algorithm") if isinstance(workload, dict) else None
        whole = {
            "target": target,
            "job": job,
            "algorithm": algorithm,
            "log": str(log),
            "last_path": str(self._folder),
        }
        try:
            with suppress(BrokenPipeError):  # it has ended; the log says why
                ours.send(whole)
            return self._listen(process, ours, log, timeout_seconds, on_message)
        finally:
            ours.close()
            process.kill()
            process.wait()
            with self._lock:
                self._running.discard(process)

    def _start(self, pipe: int, log: Path) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(self._paths)
        environment.setdefault("KINETO_LOG_LEVEL", "99")  # see trainfit.bench.processes.isolation
        with log.open("ab") as written:
            process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), str(pipe)],
                cwd=self._folder,
                env=environment,
                pass_fds=[pipe],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
            )
        with self._lock:
            self._running.add(process)
        return process

    def _listen(
        self,
        process: subprocess.Popen[bytes],
        ours: Any,
        log: Path,
        timeout_seconds: float,
        on_message: Send,
    ) -> Outcome:
        deadline = time.monotonic() + timeout_seconds
        while True:
            if not ours.poll(max(0.0, deadline - time.monotonic())):
                message = f"still running after {timeout_seconds:g} s"
                return Outcome(Ending.TIMED_OUT, "Timeout", message)
            try:
                message = json.loads(ours.recv_bytes())
            except (EOFError, ConnectionResetError):
                process.wait()
                return _died(process.returncode, log)
            if "outcome" in message:
                said = message["outcome"]
                return Outcome(**said | {"ending": Ending(said["ending"])})
            if "source" in message:
                self.source = message["source"]
                continue
            on_message(message)


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
