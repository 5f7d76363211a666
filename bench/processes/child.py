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
    *,
    output: connection.Connection | None,
    memory_limit_mib: int | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> None:
    """Run the function and send its outcome.

    Args:
        target: The function, as ``module:function``.
        job: Its first argument.
        pipe: Takes what it sends.
        output: Takes what it prints; None leaves that as it is.
        memory_limit_mib: Memory that it may take.
        prepare: Called before the function is imported.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides what an interrupt means
    with suppress(OSError):  # it has a group of its own already
        os.setpgid(0, 0)  # what it starts is ended with it
    if output is not None:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        output.close()
    faulthandler.enable(2, all_threads=False)  # ours would come first
    faulthandler.register(STACK_SIGNAL, 2, all_threads=False)
    threading.Thread(target=_die_with_caller, args=(pipe,), daemon=True).start()

    def send(message: Message) -> None:
        # Names of files may hold half a character, which no file of text can.
        pipe.send_bytes(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))

    try:
        prepare()
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
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
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
    try:
        said = str(error)
    except Exception as another:  # whatever wrote that exception
        said = f"its text cannot be read: {type(another).__name__}"
    message = " ".join(said.split())[:MESSAGE_CHARACTERS]
    frames = traceback.extract_tb(error.__traceback__)
    where = getattr(error, "where", None)  # an error may know better than its traceback
    if frames and not isinstance(where, str):
        last = frames[-1]
        where = f"{short_path(last.filename)}:{last.lineno} {last.name}"
    ending = Ending.OUT_OF_MEMORY if is_exhausted(error, said) else Ending.RAISED
    return Outcome(ending, type(error).__name__, message, where)


def is_exhausted(error: Exception, said: str | None = None) -> bool:
    """Whether memory ran out; torch says so in words of its own (``said``, or the error's)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "can't allocate memory" in (str(error) if said is None else said)


def short_path(path: str) -> str:
    """A source file's path below the folder it was imported from, as ``torch/nn/linear.py``."""
    for folder in sorted({str(Path.cwd()), *sys.path}, key=len, reverse=True):
        if folder and path.startswith(folder.rstrip(os.sep) + os.sep):
            return os.path.relpath(path, folder)
    return path
