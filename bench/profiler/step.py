"""Exact peak memory of any training step: ``profile_step``.

What does not depend on the device, running a step and making its profile from event streams, is
shared with ``cuda``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch

from trainfit.algorithms.phases import observing
from trainfit.bench.profiler.attribution import Attribution
from trainfit.bench.profiler.carrying import carry_tags
from trainfit.bench.profiler.determinism import (
    Heap,
    collect_young,
    onednn,
    pinned,
    quiet_collector,
    refuse_foreign_threads,
    timed_frees,
)
from trainfit.bench.profiler.events import Stream
from trainfit.bench.profiler.fold import Block, Fold, by_category, fold, growth
from trainfit.bench.profiler.operators import operator_stream
from trainfit.bench.profiler.places import ModuleNames, Places
from trainfit.bench.profiler.refusals import (
    ChildProcesses,
    refuse_nothing,
    refuse_unfinished,
    refuse_worker_processes,
)
from trainfit.bench.profiler.session import SessionObserver, capture, mark
from trainfit.bench.profiler.summary import summary

LONGEST_PERIOD = 16
"""Calls after which a step is looked for to repeat itself, at most."""

_PATIENCE_SECONDS = 20.0  # for looking


@dataclass(frozen=True)
class StepProfile(Fold):
    """What one training step needs, to the byte; all figures are bytes.

    What its first measured repeat did to dynamic memory, which is what was not there both before
    and after the step, and:

    Attributes:
        static_bytes: What the step uses and neither makes nor frees: parameters, optimiser
            state, the batch; and what earlier steps made and keep.
        static_categories: The same by category.
        static_blocks: The same block by block, largest first.
        deterministic: All repeats allocated exactly the same. If not, nothing may be gated.
        repeats: How many repeats were compared.
        attribution: Why categories are ``workspace`` only, or empty if they are known.
        steps: How many calls of the step were measured as one (a cycle of an accumulation).
        period: If not deterministic: after how many calls the step repeats itself, so that
            ``profile_step(step, steps=period)`` measures a whole cycle; 1 if it does the same
            every time by now, after more warm-up; 0 if none of this showed.
        notes: What else was seen that is in no figure, a sentence each.
    """

    static_bytes: int
    static_categories: dict[str, int]
    static_blocks: tuple[Block, ...]
    deterministic: bool
    repeats: int
    attribution: str
    steps: int = 1
    period: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ram_bytes(self) -> int:
        """The largest number of bytes of training alive at one instant: static + peak dynamic."""
        return self.static_bytes + self.peak_dynamic_bytes

    def __str__(self) -> str:
        """A short report for people."""
        return summary(self)


def profile_step(
    step: Callable[[], Any],
    *,
    warmup: int = 2,
    repeats: int = 3,
    pin: bool = True,
    steps: int = 1,
) -> StepProfile:
    """Measure the peak dynamic memory of a training step on the CPU, exactly.

    The step is called ``steps * (3 * warmup + repeats + 2)`` times, and a few times more where
    something has to be explained: it is trained on, as it would be without us. Mark its parts with
    ``trainfit.phase("forward")`` to have a peak per phase.

    Args:
        step: Any callable without arguments that does one training step.
        warmup: Measurements that are thrown away before the first one that counts, so that lazy
            state exists. At least 1.
        repeats: Measurements that must agree.
        pin: One thread and oneDNN off, under which the figure is the same on every machine;
            ``False`` measures the process as it stands.
        steps: Calls that are measured as one: a whole cycle of a step that does not do the same
            every time, as one that accumulates gradients over four calls.

    Raises:
        NothingMeasuredError: Nothing that torch allocates in host memory was seen.
        ForeignThreadError: The step runs tensor operators in another thread.
        ForeignProcessError: The step takes batches that other processes make.
        SessionError: Another profiler is active, or the session cannot see allocations.
        StreamError: The allocation events contradict each other.
        TypeError: ``step`` returns what has not run yet: a generator, a coroutine, an iterator,
            a function.
        ValueError: A number is less than 1.
        Exception: Whatever ``step`` raises; nothing is left active.
    """
    if warmup < 1 or repeats < 1 or steps < 1:
        raise ValueError(
            f"warmup, repeats and steps must be at least 1, got {warmup}, {repeats} and {steps}"
        )
    cycle = partial(_run_cycle, step, steps)
    settings = pinned() if pin else nullcontext()
    others = ChildProcesses()
    found = torch._C._get_mkldnn_enabled()
    with settings, quiet_collector(generation=1), refuse_worker_processes(), timed_frees() as heap:
        names = ModuleNames(heap.modules)
        streams = _clean_pass(cycle, warmup, repeats)
        attributed, static, mode = _attribution_pass(cycle, warmup, heap, names)
        # Who runs operators does not depend on oneDNN, but how many there are does: without it
        # torch makes a convolution of its own for every group.
        with observing(SessionObserver()), onednn(found):
            refuse_foreign_threads(cycle)
        refuse_nothing(streams, mode.saw_nothing, mode.elsewhere, step)
        reason = carry_tags(attributed, streams[0])
        if reason:
            reason = carry_tags(_operator_pass(cycle, warmup, names), streams[0])
        profile = assemble(streams, static, reason, steps=steps)
        profile = replace(profile, notes=tuple(others.notes(mode.elsewhere)))
        filled_up = profile.left_after_step_bytes > 0 >= growth(attributed)
        if filled_up or (reason and not fold(*_clean_pass(cycle, 0, 1)).same_bytes(profile)):
            profile = replace(profile, deterministic=False)  # it does something else by now
        if profile.deterministic or steps > 1:
            return profile
        return replace(profile, period=_period(step))


def peak_as_deployed(step: Callable[[], Any], *, repeats: int = 3) -> tuple[int, bool]:
    """Measure only the peak, under the process's own settings; not what its bytes are for.

    For a step that :func:`profile_step` has measured: whether it does anything is not asked again.

    Args:
        step: As for :func:`profile_step`.
        repeats: Likewise.

    Returns:
        Peak dynamic bytes, and whether all repeats allocated the same.

    Raises:
        ForeignThreadError: The step runs tensor operators in another thread.
        ForeignProcessError: The step takes batches that other processes make.
        SessionError: Another profiler is active, or the session cannot see allocations.
        StreamError: The allocation events contradict each other.
    """
    cycle = partial(_run_cycle, step, 1)
    with quiet_collector(generation=1), refuse_worker_processes(), timed_frees():
        streams = _clean_pass(cycle, 1, repeats)
        refuse_foreign_threads(cycle)
    first, *others = (fold(stream) for stream in streams)
    return first.peak_dynamic_bytes, all(each.same_bytes(first) for each in others)


def _run_cycle(step: Callable[[], Any], steps: int) -> None:
    for _ in range(steps):
        run_step(step)


def _clean_pass(cycle: Callable[[], None], warmup: int, repeats: int) -> list[Stream]:
    """Warm up and measure in one session, so that blocks kept from step to step are known."""

    def program() -> None:
        for _ in range(warmup):
            cycle()
        for _ in range(repeats):
            with mark("step"):
                cycle()
        with mark("collect"):
            collect_young()

    with observing(SessionObserver()):
        return capture(program)


def _attribution_pass(
    cycle: Callable[[], None], warmup: int, heap: Heap, names: ModuleNames
) -> tuple[Stream, list[Block], Attribution]:
    places = Places(names)
    observer = SessionObserver(tags=True, places=places)
    mode = Attribution(observer, names=names)

    def program() -> None:
        for _ in range(warmup):
            cycle()
        with mark("step"), places.watching(), mode.watching():
            cycle()
        for _ in range(warmup):
            cycle()  # what it keeps for a step or two is dropped here

    with observing(observer):
        (stream,) = capture(program)
    return stream, mode.static(stream, heap.storages), mode


def _operator_pass(cycle: Callable[[], None], warmup: int, names: ModuleNames) -> Stream:
    def program() -> None:
        for _ in range(warmup):
            cycle()
        with mark("step"):
            cycle()

    with observing(SessionObserver(tags=True)):
        return operator_stream(program, names)


def _period(step: Callable[[], Any]) -> int:
    """After how many calls a step repeats itself, if that shows; otherwise 0."""
    started = time.monotonic()

    def program() -> None:
        for _ in range(3 * LONGEST_PERIOD):
            with mark("step"):
                run_step(step)
            if time.monotonic() - started > _PATIENCE_SECONDS:
                break

    with observing(SessionObserver()):
        folds = [fold(stream) for stream in capture(program)]
    folds = folds[len(folds) // 4 :]  # it may have to settle first
    for period in range(1, len(folds) // 2 + 1):
        if all(one.same_bytes(other) for one, other in zip(folds, folds[period:], strict=False)):
            return period
    return 0


def assemble(
    streams: Sequence[Stream], static: Sequence[Block], reason: str = "", *, steps: int = 1
) -> StepProfile:
    """Fold the repeats of one step into its profile; the first repeat gives the figures.

    Args:
        streams: One per repeat, at least one; tags are those of the first.
        static: What the step uses and neither makes nor frees.
        reason: Why categories are not known, if they are not.
        steps: Calls that were measured as one.

    Raises:
        StreamError: The allocation events contradict each other.
    """
    first, *others = (fold(stream) for stream in streams)
    return StepProfile(
        **{field.name: getattr(first, field.name) for field in fields(Fold)},
        static_bytes=sum(block.size for block in static),
        static_categories=by_category(static),
        static_blocks=tuple(static),
        deterministic=all(repeat.same_bytes(first) for repeat in others),
        repeats=len(streams),
        attribution=reason,
        steps=steps,
    )


def run_step(step: Callable[[], Any]) -> None:
    """Run a step and drop what it returns before the step counts as over.

    Raises:
        TypeError: It returns what has not run yet.
    """
    refuse_unfinished(step())
