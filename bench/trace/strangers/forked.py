"""Work in a copy of this process, so that whatever it changes stays as it is here."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from trainfit.bench.trace.strangers.errors import UntraceableError

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20


def in_copy(work: Callable[[], T], *, timeout_seconds: float) -> T:
    """What ``work`` returns in a fork of this process; what it prints is not shown.

    Raises:
        UntraceableError: It ended badly or takes too long, or there is no ``fork`` here.
        Exception: Whatever it raises.
    """
    if not hasattr(os, "fork"):
        raise UntraceableError("a step is traced in a fork of the process, which there is none of")
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # A fork has one thread only: others that this process has are not needed there.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os.close(reading)
        _answer(work, writing)
    os.close(writing)
    try:
        answer = _all_of(reading, timeout_seconds)
    finally:
        os.close(reading)
        if sys.exc_info()[0] is not None:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if not answer:
        raise UntraceableError(_ending(os.waitstatus_to_exitcode(status)))
    returned, value = pickle.loads(answer)  # noqa: S301  (our own child's)
    if returned:
        return value  # type: ignore[no-any-return]
    raise value


def _answer(work: Callable[[], Any], writing: int) -> None:
    """Work and write what came of it; does not return."""
    faulthandler.disable()  # how it ends is told to the parent
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        try:
            answer = pickle.dumps((True, work()))
        except BaseException as error:
            answer = _failure(error)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _failure(error: BaseException) -> bytes:
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)  # noqa: S301
    except Exception:
        return pickle.dumps((False, UntraceableError(f"{type(error).__name__}: {error}")))
    return answer


def _all_of(reading: int, timeout_seconds: float) -> bytes:
    until = time.monotonic() + timeout_seconds
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise UntraceableError(f"the step was not traced in {timeout_seconds:g} s")
        part = os.read(reading, _CHUNK_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _ending(code: int) -> str:
    if code == -signal.SIGSEGV:
        return (
            "the step hands the memory of tensors to code that is no operator of torch, or runs"
            " operators in another thread: it can be measured (profile_step), not predicted"
        )
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the process in which the step was traced ended with {name}"
