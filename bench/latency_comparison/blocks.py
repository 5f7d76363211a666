"""What a block of steps took: time on the clock, time on a core, and time spent waiting for one.

The clock alone cannot tell a slow step from one that was kept waiting. Three more things can:

- *CPU time* of the process (``CLOCK_PROCESS_CPUTIME_ID``). With one thread it is what the step
  takes on a machine of its own, but for what neighbours do to caches, memory and the core's clock.
  With several it adds up over threads, spinning at barriers included: work, not duration.
- *Context switches* (``getrusage``): involuntary ones, where the scheduler took the core away, and
  voluntary ones, where the step waited for something of its own, such as a file.
- *Run delay* (Linux, ``/proc/self/task/*/schedstat``): how long threads were ready to run while
  something else had the core. It is the only one of the three that says how much waiting was
  involuntary when there are several threads.

This module imports neither torch nor the rest of the project, for both ends use it.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Counters:
    """What this process has used so far, as the system counts it."""

    seconds = staticmethod(time.perf_counter)
    cpu_seconds = staticmethod(time.process_time)

    def switches(self) -> tuple[int, int]:
        """Context switches: involuntary and voluntary ones, of all threads."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_nivcsw, usage.ru_nvcsw

    def delay_seconds(self, tasks: Path = Path("/proc/self/task")) -> float | None:
        """Time on run queues of all threads that are there; None where the system does not say."""
        delays = []
        try:
            for thread in os.listdir(tasks):
                try:
                    text = (tasks / thread / "schedstat").read_text("ascii")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # the thread has ended since it was listed, or no kernel counts this
                delays.append(int(text.split()[1]))
        except (OSError, ValueError, IndexError):
            return None
        return sum(delays) * 1e-9 if delays else None


class Block(NamedTuple):
    """Steps taken one after the other.

    Attributes:
        seconds: Of a step, by the clock.
        cpu_seconds: Of a step, on cores, all threads together; None where unknown.
        delay_seconds: Of a step, ready to run but without a core, all threads together; None
            where unknown.
        involuntary: Involuntary context switches in the whole block.
        voluntary: Voluntary ones.
    """

    seconds: float
    cpu_seconds: float | None = None
    delay_seconds: float | None = None
    involuntary: int = 0
    voluntary: int = 0

    @classmethod
    def of(cls, step: Callable[[], None], steps: int, counters: Counters) -> Block:
        """Take so many steps; the clock is read last before them and first after them."""
        switches, delay = counters.switches(), counters.delay_seconds()
        cpu_seconds, seconds = counters.cpu_seconds(), counters.seconds()
        for _ in range(steps):
            step()
        seconds = counters.seconds() - seconds
        cpu_seconds = counters.cpu_seconds() - cpu_seconds
        delay_after, switches_after = counters.delay_seconds(), counters.switches()
        waited = None
        if delay is not None and delay_after is not None:
            # A thread that ended in between has taken its delay with it.
            waited = max(0.0, delay_after - delay) / steps
        involuntary, voluntary = (
            after - before for before, after in zip(switches, switches_after, strict=True)
        )
        return cls(seconds / steps, cpu_seconds / steps, waited, involuntary, voluntary)

    @classmethod
    def received(cls, seconds: float, more: Mapping[str, Any] | None) -> Block:
        """From what a side has sent; one of an older revision sends the time by the clock only."""
        known = {name: value for name, value in (more or {}).items() if name in cls._fields}
        return cls(**known | {"seconds": seconds})

    def cost(self, threads: int = 1) -> float:
        """What the length of a block is chosen by, in seconds per step.

        That is CPU time; with several threads, or where it is unknown, time by the clock. A block
        that is long by the clock only because it had to wait is too short: on a busy machine it is
        mostly waiting, whatever its step does.
        """
        return (self.cpu_seconds if threads == 1 else None) or self.seconds
