"""Time as a measurement sees it, in one value, so that tests can put a made-up one in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass


@contextmanager
def in_background(interval_seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call something every so often from a thread, for the length of a block.

    The first call comes after one interval. Calls that come late are not made up for. When the
    block is left, no call is under way and none will come.

    Args:
        interval_seconds: From the start of one call to the start of the next.
        call: Must not raise.
    """
    stop = threading.Event()

    def loop() -> None:
        due = time.perf_counter()
        while True:
            now = time.perf_counter()
            due = max(due + interval_seconds, now)
            if stop.wait(due - now):
                return
            call()

    thread = threading.Thread(target=loop, name="trainfit-sensor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class Timebase:
    """A clock, a way to wait on it, and a way to do something every so often meanwhile."""

    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    every: Callable[[float, Callable[[], None]], AbstractContextManager[None]] = in_background


REAL_TIME = Timebase()
