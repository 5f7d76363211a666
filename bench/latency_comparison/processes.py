"""Two processes that wait for their turns, and the end in this process that gives them.

Each side runs :func:`trainfit.bench.latency_comparison.worker.run_side`, is watched by a thread,
and gets its turns through a FIFO. Whatever the sides say comes into one inbox, so that the death of
one is heard while the other is waited for. When the FIFOs are closed, both end.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from trainfit.bench.errors import BenchError
from trainfit.bench.processes.child import Ending, Message, Outcome
from trainfit.bench.processes.isolation import call, preloads
from trainfit.bench.records.schema import Workload

TARGET = "trainfit.bench.latency_comparison.worker:run_side"

WARM_UP = 0
"""As a number of steps in a turn: as many as it takes until they no longer become faster."""


Call = Callable[..., Outcome]
"""Runs a function in a process of its own, as ``isolation.call`` does."""


class PairError(BenchError):
    """One of two workloads cannot be run; the message says which, and why.

    Attributes:
        side: Which of the two, 0 or 1.
        outcome: How it ended.
    """

    def __init__(self, message: str, side: int, outcome: Outcome) -> None:
        super().__init__(message)
        self.side = side
        self.outcome = outcome


class Pair:
    """Two workloads, each in a process of its own, of which one at most runs.

    Args:
        timeout_seconds: A side that still runs after this long is killed.
        target: What a side runs.
        calls: How each side is run; the two may run different source trees.
    """

    def __init__(
        self, timeout_seconds: float, target: str = TARGET, calls: tuple[Call, Call] = (call, call)
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._target = target
        self._calls = calls
        self._names: list[str] = []
        self._turns: list[int] = []
        self._threads: list[threading.Thread] = []
        self._kills: list[Callable[[], None]] = []
        self._inbox: queue.SimpleQueue[tuple[int, Message | Outcome]] = queue.SimpleQueue()
        self._said: list[Message] = []

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="trainfit-")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._turns:
            os.close(descriptor)
        for kill in self._kills if error is not None else ():
            kill()  # one that loads data would hear of the end only after that
        for thread in self._threads:
            thread.join()
        self._folder.cleanup()

    def start(self, workload: Workload, **job: Any) -> None:
        """Start the next side, and wait until its process is there.

        Two threads must not start processes at the same time.

        Raises:
            PairError: It ended at once.
        """
        side = len(self._names)
        name = "AB"[side]
        fifo = Path(self._folder.name) / f"{name}.turns"
        os.mkfifo(fifo)
        # Open for reading too: so it neither waits for the other end nor breaks without one.
        self._turns.append(os.open(fifo, os.O_RDWR))
        self._names.append(f"{name}, {workload.label}")
        self._said.append({})
        # Without what is the default anyway: an older side may not know the key.
        asked = workload.model_dump(mode="json", exclude_defaults=True)
        job |= {"workload": asked, "turns": str(fifo)}
        thread = threading.Thread(
            target=self._watch, args=(side, job, preloads(TARGET, [workload.dataset])), daemon=True
        )
        self._threads.append(thread)
        thread.start()
        self.reply(side, "doing")

    def say(self, side: int, steps: int) -> None:
        """Give a side its turn, of so many steps."""
        os.write(self._turns[side], f"{steps}\n".encode("ascii"))

    def reply(self, side: int, key: str) -> Any:
        """Wait for what a side has to say under ``key``.

        Raises:
            PairError: This side or the other one has ended.
        """
        while key not in self._said[side]:
            sender, message = self._inbox.get()
            if isinstance(message, Outcome):
                said = f"{self._names[sender]}: {_explain(message)}"
                raise PairError(said, sender, message)
            self._said[sender] |= message
        return self._said[side].pop(key)

    def said(self, side: int, key: str) -> Any:
        """What a side has said under ``key`` beside its last reply; None where it has not."""
        return self._said[side].pop(key, None)

    def _watch(self, side: int, job: Message, preload: list[str]) -> None:
        try:
            outcome = self._calls[side](
                self._target,
                job,
                log=Path(self._folder.name) / f"{'AB'[side]}.log",
                timeout_seconds=self._timeout_seconds,
                preload=preload,
                on_message=lambda message: self._inbox.put((side, message)),
                on_start=self._kills.append,
            )
        except Exception as error:  # the waiting thread has to hear of it, or it waits forever
            outcome = Outcome(Ending.DIED, type(error).__name__, str(error))
        self._inbox.put((side, outcome))


def _explain(outcome: Outcome) -> str:
    if outcome.ending is Ending.RAISED and outcome.type == "ConfigurationError":
        return outcome.message
    at = f" at {outcome.where}" if outcome.where else ""
    return f"cannot be compared, it ended early: {outcome.type}: {outcome.message}{at}"
