"""Run a function in a process of its own, and learn how that ended, whatever it was.

A fork server imports torch once; every call forks from it::

    caller                         fork server             child
      | call("a.module:function") --> fork ---------------->| limits, log, lifeline
      |<------------------- JSON messages ------------------| function(job, send)
      |                                                     | ... or signal, _exit, hang, raise

The child's output goes to a log file. A child dies with its caller, killed or not, and what it has
started dies with it. Modules are not looked for in the current folder unless the caller does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing import connection, forkserver
from pathlib import Path
from types import ModuleType
from typing import Any

import trainfit
from trainfit._imports import is_current_folder
from trainfit.algorithms.outside import permitted, restrict
from trainfit.bench.processes.child import (
    STACK_SIGNAL,
    Ending,
    Message,
    Outcome,
    Send,
    run_child,
    short_path,
)
from trainfit.bench.processes.endings import end_group, end_orphans
from trainfit.bench.processes.logs import Log

_SAFE_PATH = "PYTHONSAFEPATH"

_ADOPTING = "trainfit.bench.processes.adopting"

_starting = threading.Lock()
_running: set[int] = set()
"""Children of this module that have not been ended, by their numbers; changed under the lock."""

MOST_MESSAGE_BYTES = 2**28
"""A longer message is none of ours."""

LOG_TAIL_BYTES = 65_536
"""How much of a log is searched for a stack."""


def _ensure_server(preload: Sequence[str]) -> None:
    """Start the fork server if there is none yet, or if it was killed."""
    # Read when torch is imported; without it the profiler writes to stderr in every session.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    multiprocessing.set_forkserver_preload([_ADOPTING, *preload])
    # The server is a fresh interpreter: it finds this package only if it is told where. It is
    # started with ``-c``, which would put the current folder first.
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    here = str(Path(str(trainfit.__file__)).parent.parent)
    path = [*(entry for entry in given if not is_current_folder(entry)), here]
    with _environment(PYTHONPATH=os.pathsep.join(path), **{_SAFE_PATH: "1"}):
        forkserver.ensure_running()


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _prepare(outside: list[str] | None, safe_path: str | None) -> None:
    """In the child: permit what the caller permits; what it starts finds modules as elsewhere."""
    restrict(outside)
    if safe_path is None:
        os.environ.pop(_SAFE_PATH, None)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back while a process is started.

    An interrupt half-way leaves a child that reads the end of a torn message and says so on the
    terminal. What is started inherits that the signal is blocked: the caller alone decides what an
    interrupt means. A block alone is not enough here, for another thread would take the signal.
    """
    came: list[object] = []
    is_main = threading.current_thread() is threading.main_thread()  # others are not interrupted
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True)) if is_main else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if is_main:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _nothing_of_main() -> Iterator[None]:
    """Keep children from running the caller's script again, which multiprocessing has them do."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def preloads(target: str, datasets: Iterable[str], *, calls: int = 1) -> list[str]:
    """What every call of ``target`` on these data sets imports, so that it is imported once.

    Args:
        target: What is called.
        datasets: The data sets of all calls.
        calls: How many there will be. With several, most rules among them call compiled kernels,
            and every process of its own would start the compiler's runtime anew; and some may use
            checkpoints, which import torch's compiler though nothing is compiled.
    """
    modules = [target.partition(":")[0]]
    if calls > 1:
        modules += ["torch._dynamo", "trainfit.algorithms.numerics.adam_kernel"]
    if "digits" in set(datasets):
        modules += ["sklearn.datasets", "sklearn.model_selection"]
    return modules


def call(
    target: str,
    job: Message,
    *,
    log: Path,
    timeout_seconds: float,
    memory_limit_mib: int | None = None,
    preload: Sequence[str] = (),
    on_message: Send = lambda _: None,
    on_start: Callable[[Callable[[], None]], None] = lambda _: None,
) -> Outcome:
    """Run ``function(job, send)`` in a process of its own.

    Args:
        target: The function, as ``module:function``; it is imported in the child alone.
        job: Its first argument, made of what JSON can hold.
        log: File that receives whatever the child writes to stdout and stderr.
        timeout_seconds: After this long the child is killed.
        memory_limit_mib: Memory the child may take beyond what it holds when it starts (Linux).
        preload: Modules that the fork server imports, once for all calls, when it starts.
        on_message: Called with everything that the function sends, as it comes.
        on_start: Called with a function that kills the child.
    """
    writer = Log(log)
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("forkserver")
    prepare = partial(_prepare, permitted(), os.environ.get(_SAFE_PATH))
    process = context.Process(
        target=run_child,
        args=(target, job, theirs),
        kwargs={
            "output": writer.output,
            "memory_limit_mib": memory_limit_mib,
            "prepare": prepare,
        },
    )
    deadline = time.monotonic() + timeout_seconds
    try:
        with _interrupts_wait(), _starting, _nothing_of_main():
            _ensure_server(preload)
            process.start()
            _running.add(process.pid or 0)
        on_start(partial(end_group, process.pid))
        theirs.close()
        writer.start()
        outcome = listen(ours, timeout_seconds, on_message, process.pid)
        if outcome is None:
            process.join(max(1.0, deadline - time.monotonic()))
        elif outcome.ending is Ending.TIMED_OUT:
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, STACK_SIGNAL)
            process.join(0.3)  # long enough to write the stack
        else:  # a child that has said its last word may still hang in a destructor
            process.join(5.0)
        exit_code = process.exitcode
    finally:
        end_group(process.pid)
        if process.pid is not None:
            process.join()
            with _starting:
                _running.discard(process.pid)
                end_orphans(_running)
        ours.close()
        writer.finish()
    if outcome is None:
        return _post_mortem(exit_code, log)
    if outcome.ending is Ending.TIMED_OUT:
        return replace(outcome, where=_last_stack(log))
    return outcome


def listen(
    pipe: Any, timeout_seconds: float, on_message: Send, pid: int | None = None
) -> Outcome | None:
    """Hear what a child sends, until its last word.

    Args:
        pipe: Where it sends.
        timeout_seconds: How long it may take.
        on_message: Called with everything but the last word.
        pid: Of the child; the end of the pipe alone is not its end, if it has children itself.

    Returns:
        How its function ended, or that it still runs after so long; None if it is gone without a
        word.
    """
    deadline = time.monotonic() + timeout_seconds
    with _end_of(pid) as ends:
        while ready := connection.wait([pipe, *ends], max(0.0, deadline - time.monotonic())):
            if pipe not in ready:
                return None
            try:
                message = json.loads(pipe.recv_bytes(MOST_MESSAGE_BYTES))
                if "outcome" in message:
                    said = message["outcome"]
                    return Outcome(**said | {"ending": Ending(said["ending"])})
            except (EOFError, ConnectionResetError):
                return None
            except (ValueError, TypeError, KeyError, OSError) as error:
                what = f"the process sent what is no message: {error}"
                return Outcome(Ending.DIED, "ProcessGarbled", what)
            on_message(message)
    return Outcome(Ending.TIMED_OUT, "Timeout", f"still running after {timeout_seconds:g} s")


@contextmanager
def _end_of(pid: int | None) -> Iterator[list[int]]:
    """What becomes readable when a process ends; nothing where the system does not tell."""
    descriptors: list[int] = []
    if pid is not None and hasattr(os, "pidfd_open"):
        try:
            descriptors.append(os.pidfd_open(pid))
        except ProcessLookupError:  # gone already: what is always readable stands for it
            descriptors.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            pass  # an old kernel
    try:
        yield descriptors
    finally:
        for each in descriptors:
            os.close(each)


def _post_mortem(exit_code: int | None, log: Path) -> Outcome:
    where = _last_stack(log)
    if exit_code is not None and exit_code < 0:
        name = signal_name(-exit_code)
        if name == "SIGKILL":
            return Outcome(
                Ending.OUT_OF_MEMORY,
                name,
                "killed from outside, most likely by the kernel because memory ran out",
                where,
            )
        return Outcome(Ending.DIED, name, f"process ended by {name}", where)
    return Outcome(Ending.DIED, "ProcessExit", f"process ended early, exit code {exit_code}", where)


def signal_name(number: int) -> str:
    """``SIGSEGV``; one of those that have no name of their own as ``SIGRTMIN+6``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = getattr(signal, "SIGRTMIN", None)  # Linux numbers them from there
        return f"signal {number}" if first is None else f"SIGRTMIN+{number - first}"


def _last_stack(log: Path) -> str | None:
    """The deepest frame of the first stack that faulthandler wrote to the log."""
    text = ""
    if log.exists():
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
    match = re.search(r'most recent call first\):\n  File "(.+?)", line (\d+) in (\S+)', text)
    return f"{short_path(match[1])}:{match[2]} {match[3]}" if match else None
