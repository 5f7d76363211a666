"""Calls of a step one after the other, until they are the same.

The first call makes what an optimiser keeps; later ones find it. What counts is what every further
call does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from trainfit.algorithms.phases import observing
from trainfit.bench.profiler.attribution import _uncompiled
from trainfit.bench.profiler.determinism import pinned, quiet_collector
from trainfit.bench.profiler.events import Mark, MarkKind, Stream
from trainfit.bench.profiler.places import ModuleNames, Places
from trainfit.bench.profiler.refusals import refuse_unfinished, refuse_worker_processes
from trainfit.bench.trace.strangers.answers import Answering
from trainfit.bench.trace.strangers.engine import nothing_runs
from trainfit.bench.trace.strangers.errors import UnsettledError
from trainfit.bench.trace.strangers.exports import Exports, states_of_generators
from trainfit.bench.trace.strangers.reachable import modules_of
from trainfit.bench.trace.strangers.watcher import Watcher
from trainfit.bench.trace.trace import Operator, Storage, Trace

Step = Callable[[], Any]

MOST_CALLS = 18
"""After so many calls a step that has not settled is given up."""

_SEEN_ALIKE = 6
"""So many calls in a row have to be alike, since some do something else every few calls."""

_CHEAP = 2000
"""Operators of all calls together; of a larger step two calls alike are enough."""


@dataclass(frozen=True)
class Call:
    """One measured cycle of a step, as parts of the watcher's lists.

    Attributes:
        events, marks, operators: From and to.
        storages: Number of the first storage that it makes.
    """

    events: tuple[int, int]
    marks: tuple[int, int]
    operators: tuple[int, int]
    storages: int


@dataclass(frozen=True)
class Traced:
    """A step that has settled.

    Attributes:
        watcher: What was seen of all calls.
        call: The one that counts: the first of those that are alike.
        first: Number of the first storage that a call made; those before were made with the step.
        called: How often the step was called.
        names: What modules are called.
    """

    watcher: Watcher
    call: Call
    first: int
    called: int
    names: ModuleNames

    @property
    def storages(self) -> Sequence[Storage]:
        """Of all calls."""
        return self.watcher._storages

    @property
    def operators(self) -> Sequence[Operator]:
        """Of the call that counts."""
        return self.watcher._operators[slice(*self.call.operators)]

    @property
    def reads(self) -> list[tuple[int, str]]:
        """(operators of the call before it, place) of every question for a value."""
        start, stop = self.call.operators
        return [(at - start, place) for at, place in self.watcher.reads if start <= at <= stop]

    def stream(self) -> Stream:
        """All events, the call that counts between BEGIN and END."""
        whole = self.watcher._stream
        stream = Stream()
        stream.pointers, stream.sizes = whole.pointers, whole.sizes
        marks = whole.marks
        (begin, end), (first, last) = self.call.events, self.call.marks
        stream.marks = [
            *marks[:first],
            Mark(begin, MarkKind.BEGIN),
            *marks[first:last],
            Mark(end, MarkKind.END),
            *marks[last:],
        ]
        return stream

    def story(self) -> tuple[Any, ...]:
        """What the call does, for comparison with another."""
        return _story(self.watcher, self.call)

    def trace(self) -> Trace:
        """The call alone; storages from before it are found."""
        (begin, end), (first, last) = self.call.events, self.call.marks
        whole = self.watcher._stream
        stream = Stream()
        stream.begin()
        stream.pointers, stream.sizes = whole.pointers[begin:end], whole.sizes[begin:end]
        stream.marks += [
            mark._replace(position=mark.position - begin) for mark in whole.marks[first:last]
        ]
        stream.end()
        for storage in self.storages[: self.call.storages]:
            storage.found = True
        operators = [_moved(each, begin) for each in self.operators]
        reads = tuple(dict.fromkeys(place for _, place in self.reads))
        return Trace(list(self.storages), operators, stream, reads)


def _moved(operator: Operator, events: int) -> Operator:
    values = {name: getattr(operator, name) for name in Operator.__dataclass_fields__}
    return Operator(**values | {"position": operator.position - events})


@contextmanager
def watched(answers: Answering) -> Iterator[Watcher]:
    """Nothing is computed inside the block, and all of it is written down."""
    with ExitStack() as stack:
        stack.enter_context(pinned())
        stack.enter_context(quiet_collector(generation=0))
        stack.enter_context(refuse_worker_processes())
        watcher = Watcher(answers, Places(ModuleNames()))
        stack.callback(watcher.end)
        stack.enter_context(_uncompiled())
        stack.enter_context(observing(watcher))
        stack.enter_context(Exports(watcher))
        stack.enter_context(states_of_generators(watcher))
        stack.enter_context(nothing_runs(watcher.run))
        yield watcher


@contextmanager
def modules_that_run() -> Iterator[list[torch.nn.Module]]:
    """Gathers every ``nn.Module`` that is called inside the block, and all that are part of it."""
    found: dict[int, torch.nn.Module] = {}

    def begins(module: torch.nn.Module, _: Any) -> None:
        if id(module) not in found:
            found.update((id(each), each) for each in module.modules())

    handle = register_module_forward_pre_hook(begins)
    gathered: list[torch.nn.Module] = []
    try:
        yield gathered
    finally:
        handle.remove()
        gathered += found.values()


def trace_step(
    step: Step | None,
    make: Callable[[], Step] | None,
    answers: Answering,
    *,
    steps: int,
    warmup: int,
) -> Traced:
    """Call a step until it does the same in every call.

    What it holds and keeps is changed as a step without values changes it: gradients and states are
    without bytes afterwards.

    Args:
        step: The step; None where ``make`` makes it.
        make: Makes it.
        answers: To questions for values.
        steps: Calls that count as one.
        warmup: Cycles before the first that may count.

    Raises:
        UnsettledError: It does not come to do the same in every call.
        UntraceableError: Its bytes do not follow from its code alone.
        TypeError: It returns what has not run yet.
    """
    with watched(answers) as watcher:
        if step is None:
            assert make is not None
            step = make()
        first = len(watcher._storages)
        calls: list[Call] = []
        stories: list[Any] = []
        with modules_that_run() as modules:
            calls += [_call(step, watcher, steps) for _ in range(warmup)]
        known = {id(each): weakref.ref(each) for each in [*modules, *modules_of(step)]}
        names = ModuleNames(list(known.values()))
        watcher.places = Places(names)
        while len(calls) < MOST_CALLS:
            with watcher.places.watching():
                calls.append(_call(step, watcher, steps))
            stories.append(_story(watcher, calls[-1]))
            alike = _alike_at_the_end(stories)
            if alike >= (_SEEN_ALIKE if len(watcher._operators) < _CHEAP else 2):
                return Traced(watcher, calls[-alike], first, len(calls) * steps, names)
    raise UnsettledError(_unsettled(stories, steps))


def _alike_at_the_end(stories: Sequence[Any]) -> int:
    backwards = reversed(stories)
    last = next(backwards)
    return 1 + next(
        (place for place, each in enumerate(backwards) if each != last), len(stories) - 1
    )


def _unsettled(stories: Sequence[Any], steps: int) -> str:
    stories = stories[len(stories) // 4 :]  # it may have to settle first
    for period in range(2, len(stories) // 2 + 1):
        pairs = zip(stories, stories[period:], strict=False)
        if all(one == other for one, other in pairs):
            return (
                f"the step repeats itself every {period * steps} calls: predict a whole cycle with"
                f" predict_step(step, steps={period * steps})"
            )
    return (
        f"the step did not settle in {MOST_CALLS * steps} calls: look for shapes that"
        " change from step to step, caches that grow, and work done every so many steps (which"
        " predict_step(step, steps=N) takes as one)"
    )


def _call(step: Step, watcher: Watcher, steps: int) -> Call:
    begin = watcher.call_begins()
    for _ in range(steps):
        refuse_unfinished(step())
    end = watcher.call_begins()
    events, marks, operators, (storages, _) = zip(begin, end, strict=True)
    return Call(events, marks, operators, storages)


def _story(watcher: Watcher, call: Call) -> tuple[Any, ...]:
    """Births, deaths, phases and operators of a call, without the numbers of storages."""
    begin, end = call.events
    stream = watcher._stream
    blocks = [number - call.storages for number in stream.pointers[begin:end]]
    own = [block if block >= 0 else -1 for block in blocks]
    phases = [
        (mark.position - begin, mark.kind, mark.name)
        for mark in stream.marks[slice(*call.marks)]
        if mark.kind in (MarkKind.ENTER, MarkKind.LEAVE)
    ]
    operators = [
        (
            each.name,
            each.phase,
            each.times,
            each.position - begin,
            [(one.shape, one.strides, one.dtype) for one in each.given],
        )
        for each in watcher._operators[slice(*call.operators)]
    ]
    return list(stream.sizes[begin:end]), own, phases, operators


def first_difference(one: Sequence[Any], other: Sequence[Any]) -> int:
    """With how many equal entries both lists begin."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((place for place, (left, right) in pairs if left != right), shorter)
