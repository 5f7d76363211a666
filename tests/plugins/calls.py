"""Functions to be called in a process of their own."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import time
from typing import Any


def echo(job: dict[str, Any], send: Any) -> None:
    send({**job, "pid": os.getpid(), "parent": os.getppid()})


def talk(job: dict[str, Any], send: Any) -> None:
    print("to stdout", flush=True)
    print("to stderr", file=sys.stderr, flush=True)


def fail(job: dict[str, Any], send: Any) -> None:
    send({"doing": "well"})
    deeper()


def deeper() -> None:
    raise LookupError("two\nlines")


def crash(job: dict[str, Any], send: Any) -> None:
    ctypes.memset(0, 1, 1)


def leave(job: dict[str, Any], send: Any) -> None:
    os._exit(job["code"])


def be_killed(job: dict[str, Any], send: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt_itself(job: dict[str, Any], send: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    send({"went": "on"})


def hang(job: dict[str, Any], send: Any) -> None:
    send({"pid": os.getpid()})
    while True:
        time.sleep(100)


def linger(job: dict[str, Any], send: Any) -> None:
    send({"pid": os.getpid()})
    atexit.register(time.sleep, 100)
    from multiprocessing import util

    util.Finalize(None, time.sleep, args=(100,), exitpriority=10)


def take(job: dict[str, Any], send: Any) -> None:
    bytearray(job["mib"] * 2**20)
