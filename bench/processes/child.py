"""The inside of a call in a process of its own: limits, log, lifeline, and the last word.

:mod:`trainfit.bench.processes.isolation` is the outside.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import re
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from multiprocessing import connection
from pathlib import Path
from typing import Any

Message = dict[str, Any]
Send = Callable[[Message], None]

MIB = 2**20
STACK_SIGNAL = signal.SIGUSR1
"""On this signal a child writes to its log where it is; sent before a hanging child is killed."""

MESSAGE_CHARACTERS = 1000
"""Longer messages are cut; the log has them whole."""


class Ending(StrEnum):
    """How a call ended."""

    RETURNED = "returned"
    RAISED = "raised"
    OUT_OF_MEMORY = "out_of_memory"
    DIED = "died"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True)
class Outcome:
    """How a call ended, and if badly, why.

    Attributes:
        ending: What happened.
        type: Name of the exception or of the signal.
        message: For people, one line.
        where: ``file:line function`` of the deepest frame that is known.
    """

    ending: Ending
    type: str = ""
    message: str = ""
    where: str | None = None


def run_child(
    target: str,
    job: Message,
    pipe: connection.Connection,
    log: str,
    memory_limit_mib: int | None,
) -> None:
    """Run the function and send its outcome; what it prints goes to the log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides what an interrupt means
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    faulthandler.enable(descriptor, all_threads=False)  # ours would come first
    faulthandler.register(STACK_SIGNAL, descriptor, all_threads=False)
    threading.Thread(target=_die_with_caller, args=(pipe,), daemon=True).start()

    def send(message: Message) -> None:
        pipe.send_bytes(json.dumps(message).encode())

    try:
        module, _, function = target.partition(":")
        run = getattr(import_module(module), function)
        # What was imported before is no part of the measurement, nor of any search for tensors.
        gc.freeze()
        _limit_memory(memory_limit_mib)
        run(job, send)
        outcome = Outcome(Ending.RETURNED)
    except Exception as error:  # whatever an algorithm raises has to reach the record
        _limit_memory(None)
        traceback.print_exc()
        outcome = _describe(error)
    send({"outcome": vars(outcome)})


def _die_with_caller(pipe: connection.Connection) -> None:
    """End this process when the other end of the pipe is gone; nothing is ever sent this way."""
    with suppress(OSError):
        pipe.poll(None)
    os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(mib: int | None) -> None:
    """Limit further memory of this process, or lift the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if mib is None:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        return
    status = Path("/proc/self/status").read_text("utf-8")
    held = re.search(r"^VmData:\s*(\d+) kB", status, re.MULTILINE)
    base = int(held[1]) * 1024 if held else 0
    limit = base + mib * MIB
    soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _describe(error: Exception) -> Outcome:
    message = " ".join(str(error).split())[:MESSAGE_CHARACTERS]
    frames = traceback.extract_tb(error.__traceback__)
    where = getattr(error, "where", None)  # an error may know better than its traceback
    if frames and not isinstance(where, str):
        last = frames[-1]
        where = f"{short_path(last.filename)}:{last.lineno} {last.name}"
    name = type(error).__name__
    exhausted = isinstance(error, MemoryError) or name == "OutOfMemoryError"
    exhausted = exhausted or "can't allocate memory" in message
    ending = Ending.OUT_OF_MEMORY if exhausted else Ending.RAISED
    return Outcome(ending, name, message, where)


def short_path(path: str) -> str:
    """A source file's path below the folder it was imported from, as ``torch/nn/linear.py``."""
    for folder in sorted({str(Path.cwd()), *sys.path}, key=len, reverse=True):
        if folder and path.startswith(folder.rstrip(os.sep) + os.sep):
            return os.path.relpath(path, folder)
    return path
