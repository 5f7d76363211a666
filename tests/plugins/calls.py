"""Functions to be called in a process of their own."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import stat
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


def has_children(job: dict[str, Any], send: Any) -> None:
    """Starts a process that outlives it if it can, then ends as it is asked to."""
    told, tell = os.pipe()
    if os.fork() == 0:
        if job["apart"]:
            os.setsid()
        if job["apart"] == "twice" and os.fork():
            os._exit(0)
        os.write(tell, str(os.getpid()).encode())
        time.sleep(1000)
    send({"child": int(os.read(told, 100))})
    if job["ends"] == "exit":
        os._exit(3)
    if job["ends"] == "hang":
        time.sleep(1000)


def be_signalled(job: dict[str, Any], send: Any) -> None:
    os.kill(os.getpid(), job["number"])


def raise_text(job: dict[str, Any], send: Any) -> None:
    send({"doing": job["text"]})
    raise ValueError(job["text"])


def chatter(job: dict[str, Any], send: Any) -> None:
    os.write(1, b"begin\n")
    for _ in range(job["mib"]):
        os.write(1, b"x" * 2**20)
    os.write(2, b"\nthe end\n")


def garble(job: dict[str, Any], send: Any) -> None:
    """Writes into the pipe that messages come through, and into no other."""
    for descriptor in range(3, 60):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\x00\x00\x00\x05hello")
        except OSError:
            continue


def path_of_modules(job: dict[str, Any], send: Any) -> None:
    send({"path": sys.path, "safe": os.environ.get("PYTHONSAFEPATH")})
