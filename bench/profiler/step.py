"""Exact peak memory of any training step: ``profile_step``.

What does not depend on the device, running a step and making its profile from event streams, is
shared with ``cuda``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from trainfit.algorithms.phases import Category, observing
from trainfit.bench.profiler.attribution import Attribution, born_inside, carry_tags
from trainfit.bench.profiler.determinism import (
    pinned,
    quiet_collector,
    refuse_foreign_threads,
    timed_frees,
)
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import Fold, fold
from trainfit.bench.profiler.session import SessionObserver, capture, mark


@dataclass(frozen=True)
class StepProfile(Fold):
    """What one training step needs, to the byte; all figures are bytes.

    What its first measured repeat did to dynamic memory, which is what was not there both before
    and after the step, and:

    Attributes:
        static_bytes: What the step uses and neither makes nor frees: parameters, optimiser
            state, the batch.
        static_categories: The same by category.
        deterministic: All repeats allocated exactly the same. If not, nothing may be gated.
        repeats: How many repeats were compared.
        attribution: Why categories are ``workspace`` only, or empty if they are known.
        steps: How many calls of the step were measured as one (a cycle of an accumulation).
    """

    static_bytes: int
    static_categories: dict[str, int]
    deterministic: bool
    repeats: int
    attribution: str
    steps: int = 1

    @property
    def ram_bytes(self) -> int:
        """The largest number of bytes of training alive at one instant: static + peak dynamic."""
        return self.static_bytes + self.peak_dynamic_bytes

    def __str__(self) -> str:
        """A short report for people."""
        lines = [
            f"peak dynamic {self.peak_dynamic_bytes:,} B in {self.peak_phase}"
            f" (static {self.static_bytes:,} B;"
            f" {'identical in' if self.deterministic else 'NOT the same in'}"
            f" {self.repeats} repeats)"
        ]
        for name, phase in self.phases.items():
            parts = ", ".join(f"{c} {b:,}" for c, b in sorted(phase.categories.items()))
            lines.append(f"  {name:<20} peak {phase.peak_bytes:>14,} B   {parts}")
        return "\n".join(lines)


def profile_step(
    step: Callable[[], Any],
    *,
    warmup: int = 2,
    repeats: int = 3,
    pin: bool = True,
) -> StepProfile:
    """Measure the peak dynamic memory of a training step on the CPU, exactly.

    The step is called ``2 * warmup + repeats + 2`` times: it is trained on, as it would be
    without us. Mark its parts with ``trainfit.phase("forward")`` to have a peak per phase.

    Args:
        step: Any callable without arguments that does one training step.
        warmup: Steps before the measured ones, so that lazy state exists. At least 1.
        repeats: Measured steps that must agree.
        pin: One thread and oneDNN off, under which the figure is the same on every machine;
            ``False`` measures the process as it stands.

    Raises:
        ForeignThreadError: The step runs tensor operators in another thread.
        SessionError: Another profiler is active, or the session cannot see allocations.
        StreamError: The allocation events contradict each other.
        TypeError: ``step`` returns a generator or coroutine, which has not run yet.
        Exception: Whatever ``step`` raises; nothing is left active.
    """
    if warmup < 1 or repeats < 1:
        raise ValueError(f"warmup and repeats must be at least 1, got {warmup} and {repeats}")
    with pinned() if pin else nullcontext(), quiet_collector(generation=1), timed_frees():
        streams = _clean_pass(step, warmup, repeats)
        attributed, static = _attribution_pass(step, warmup)
        with observing(SessionObserver()):
            refuse_foreign_threads(partial(run_step, step))
    return assemble(streams, attributed, static)


def _clean_pass(step: Callable[[], Any], warmup: int, repeats: int) -> list[Stream]:
    """Warm up and measure in one session, so that blocks kept from step to step are known."""

    def program() -> None:
        for _ in range(warmup):
            run_step(step)
        for _ in range(repeats):
            with mark("step"):
                run_step(step)

    with observing(SessionObserver()):
        return capture(program)


def _attribution_pass(step: Callable[[], Any], warmup: int) -> tuple[Stream, dict[Category, int]]:
    observer = SessionObserver(tags=True)
    mode = Attribution(observer)

    def program() -> None:
        for _ in range(warmup):
            run_step(step)
        with mark("step"), mode:
            run_step(step)

    with observing(observer):
        (stream,) = capture(program)
    return stream, mode.static(born_inside(stream))


def assemble(
    streams: Sequence[Stream], attributed: Stream, static: Mapping[Category, int]
) -> StepProfile:
    """Fold the repeats of one step into its profile; the first repeat gives the figures.

    Args:
        streams: One per repeat, at least one. The first is given the tags of ``attributed``.
        attributed: The repeat in which operators were watched.
        static: Bytes by category that the step uses and neither makes nor frees.

    Raises:
        StreamError: The allocation events contradict each other.
    """
    reason = carry_tags(attributed, streams[0])
    first, *others = (fold(stream) for stream in streams)
    return StepProfile(
        **{field.name: getattr(first, field.name) for field in fields(first)},
        static_bytes=sum(static.values()),
        static_categories={str(category): size for category, size in sorted(static.items())},
        deterministic=all(repeat.same_bytes(first) for repeat in others),
        repeats=len(streams),
        attribution=reason,
    )


def run_step(step: Callable[[], Any]) -> None:
    """Run a step and drop what it returns before the step counts as over."""
    result = step()
    if inspect.isgenerator(result) or inspect.iscoroutine(result):
        result.close()
        raise TypeError(
            f"the step returned a {type(result).__name__}, so nothing has run yet;"
            " run it to its end inside the step"
        )
