"""Work in a copy of the process: what it returns and raises comes back, nothing else does."""

from __future__ import annotations

import os
import signal
import time

import pytest

from trainfit.bench.trace.strangers.errors import UntraceableError
from trainfit.bench.trace.strangers.forked import in_copy


def test_what_is_returned_comes_back_and_nothing_else() -> None:
    kept: list[int] = []

    def work() -> int:
        kept.append(1)
        return 7

    assert in_copy(work, timeout_seconds=10) == 7
    assert not kept


def test_what_is_printed_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    in_copy(lambda: print("said", flush=True), timeout_seconds=10)
    assert capfd.readouterr().out == ""


def test_what_is_raised_is_raised_here() -> None:
    def work() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        in_copy(work, timeout_seconds=10)


def test_an_error_that_cannot_travel_is_told_in_words() -> None:
    class OwnError(Exception):
        pass

    def work() -> None:
        raise OwnError("here only")

    with pytest.raises(UntraceableError, match="OwnError: here only"):
        in_copy(work, timeout_seconds=10)


def test_a_copy_that_hangs_is_ended() -> None:
    with pytest.raises(UntraceableError, match=r"not traced in 0\.2 s"):
        in_copy(lambda: time.sleep(60), timeout_seconds=0.2)


def test_a_copy_that_dies_says_how() -> None:
    with pytest.raises(UntraceableError, match="SIGTERM"):
        in_copy(lambda: os.kill(os.getpid(), signal.SIGTERM), timeout_seconds=10)
    with pytest.raises(UntraceableError, match="hands the memory of tensors"):
        in_copy(lambda: os.kill(os.getpid(), signal.SIGSEGV), timeout_seconds=10)
