"""What a step needs, from its code alone: ``predict_step``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

from trainfit.bench.profiler.fold import Block, Fold, by_category, fold
from trainfit.bench.profiler.summary import listed
from trainfit.bench.trace.device import device_view
from trainfit.bench.trace.planned import arena_of
from trainfit.bench.trace.strangers.answers import ONES, OTHERS, Answering, Number, Told
from trainfit.bench.trace.strangers.errors import ReadsDataError, UntraceableError
from trainfit.bench.trace.strangers.forked import in_copy
from trainfit.bench.trace.strangers.settling import Step, first_difference, trace_step
from trainfit.bench.trace.strangers.static import static_blocks
from trainfit.bench.trace.trace import Trace

TRACING_SECONDS = 120.0
"""A step is given up if it is not traced by then."""


@dataclass(frozen=True)
class StepPrediction(Fold):
    """What one training step needs, as :class:`~trainfit.bench.profiler.step.StepProfile` has it.

    Nothing was run on data. All figures are bytes, under the settings under which steps are
    measured: one thread, oneDNN off.

    Attributes:
        static_bytes: What the step uses and neither makes nor frees.
        static_categories: The same by category.
        static_blocks: The same block by block, largest first.
        reads_of_data: Where the step asks for values of tensors, each place once. It does the same
            whatever it is told.
        called: How often the step was called until it did the same twice.
        steps: Calls that count as one.
        assumed: Operators of which it is not known what they make for themselves: taken as nothing.
        trace: Of the call that counts.
    """

    static_bytes: int
    static_categories: dict[str, int]
    static_blocks: tuple[Block, ...]
    reads_of_data: tuple[str, ...]
    called: int
    steps: int
    assumed: tuple[str, ...]
    trace: Trace = field(repr=False, compare=False)

    @property
    def evidence(self) -> str:
        """How the figures are known."""
        return "traced"

    @property
    def ram_bytes(self) -> int:
        """The largest number of bytes of training alive at one instant: static + peak dynamic."""
        return self.static_bytes + self.peak_dynamic_bytes

    @property
    def no_arena(self) -> str:
        """Why no arena can be planned for the step; empty where one can.

        A tensor that one call reads and drops, after an earlier one made it, has to be somewhere
        between the two: neither the arena nor the static bytes have it.
        """
        if self.assumed:
            return f"what {_listed(self.assumed)} makes for itself is not known"
        if self.left_after_step_bytes > 0:
            return "the step leaves bytes behind"
        stream = self.trace.stream
        dropped = {
            number
            for number, size in zip(stream.pointers, stream.sizes, strict=True)
            if size < 0 and self.trace.storages[number].found
        }
        if any(dropped & set(each.reads) for each in self.trace.operators):
            return "the step replaces tensors that it keeps from call to call"
        return ""

    @cached_property
    def arena_bytes(self) -> int | None:
        """Dynamic bytes of one planned piece of memory for the same schedule as C would run it.

        None where ``no_arena`` says why.
        """
        return None if self.no_arena else arena_of(device_view(self.trace)).size_bytes

    def __str__(self) -> str:
        """A short report for people."""
        lines = [
            f"predicted peak dynamic {self.peak_dynamic_bytes:,} B in {self.peak_phase}"
            f" (static {self.static_bytes:,} B; from its code, nothing was run)",
            *(
                f"  {name:<20} peak {phase.peak_bytes:>14,} B"
                for name, phase in self.phases.items()
            ),
            "largest at the peak:",
            *listed(self.live_at_peak),
        ]
        if self.left_after_step_bytes > 0:
            lines.append(f"LEAK: leaves {self.left_after_step_bytes:,} B per step")
        lines += [f"asks for values of tensors at {place}" for place in self.reads_of_data]
        if self.assumed:
            names = ", ".join(self.assumed)
            lines.append(f"what {names} makes for itself is not known, and taken as nothing")
        return "\n".join(lines)


def predict_step(
    step: Callable[[], Any] | None = None,
    *,
    make: Callable[[], Callable[[], Any]] | None = None,
    warmup: int = 1,
    steps: int = 1,
    told: Sequence[Number] = (),
) -> StepPrediction:
    """Predict the memory of a training step on the CPU, without running it.

    The step's code is walked through in a copy of this process, with tensors that have shapes but
    no bytes: no operator computes, and nothing of the step changes here, neither weights nor
    gradients, optimiser or anything else that it holds.

    Args:
        step: Any callable without arguments that does one training step.
        make: Instead of it: a function without arguments that makes net, optimiser and batch and
            returns the step. They have no bytes either, so that they may be of any size.
        warmup: Cycles before the first that may count; more are made until two are the same.
        steps: Calls that count as one: a whole cycle of a step that accumulates gradients.
        told: What every call is told where it asks for values of tensors, in that order, of a step
            that would be refused since it depends on them: then the prediction does, too.

    Raises:
        ReadsDataError: What the step does depends on values of tensors; the message names the line.
        UnsettledError: The step does something else in every call.
        UntraceableError: Its bytes do not follow from its code alone for another reason.
        TypeError: ``step`` returns what has not run yet.
        ValueError: A number is less than 1, or not one of ``step`` and ``make`` is given.
        Exception: Whatever ``step`` raises.
    """
    if (step is None) == (make is None):
        raise ValueError("give a step, or make=, a function that makes one")
    if warmup < 1 or steps < 1:
        raise ValueError(f"warmup and steps must be at least 1, got {warmup} and {steps}")
    trial = partial(_trial, step, make, warmup, steps)
    if told:
        given = Told(tuple(told))
        return in_copy(partial(trial, given), timeout_seconds=TRACING_SECONDS).prediction
    first = in_copy(partial(trial, ONES), timeout_seconds=TRACING_SECONDS)
    if first.places:
        for answers in OTHERS:
            _refuse_another(first, partial(trial, answers))
    return first.prediction


@dataclass(frozen=True)
class _Told:
    """What came of one way to answer.

    Attributes:
        prediction: It.
        places: Where values were asked for, in all calls.
        reads: (operators before it, place) of those in the call that counts.
    """

    prediction: StepPrediction
    places: tuple[str, ...]
    reads: list[tuple[int, str]]


def _trial(
    step: Step | None,
    make: Callable[[], Step] | None,
    warmup: int,
    steps: int,
    answers: Answering,
) -> _Told:
    traced = trace_step(step, make, answers, steps=steps, warmup=warmup)
    folded = fold(traced.stream())
    static = static_blocks(traced)
    trace = traced.trace()
    prediction = StepPrediction(
        **{each.name: getattr(folded, each.name) for each in fields(Fold)},
        static_bytes=sum(block.size for block in static),
        static_categories=by_category(static),
        static_blocks=tuple(static),
        reads_of_data=tuple(trace.reads_of_data),
        called=traced.called,
        steps=steps,
        assumed=tuple(traced.watcher.unknown_scratch),
        trace=trace,
    )
    places = tuple(dict.fromkeys(place for _, place in traced.watcher.reads))
    return _Told(prediction, places, traced.reads)


def _refuse_another(told: _Told, trial: Callable[[], _Told]) -> None:
    """Raise if a step does something else when it is told other values.

    Raises:
        ReadsDataError: It does.
    """
    try:
        other = in_copy(trial, timeout_seconds=TRACING_SECONDS)
    except ArithmeticError:
        return  # a value that never occurs: nothing is learnt
    except UntraceableError as error:
        raise ReadsDataError(
            f"what the step does depends on values of tensors, read at {_listed(told.places)};"
            f" told others: {error}"
        ) from None
    except Exception as error:
        raise ReadsDataError(
            f"what the step does depends on values of tensors, read at {_listed(told.places)}; told"
            f" others, it raises {type(error).__name__}: {error}"
        ) from error
    one, two = told.prediction, other.prediction
    if one.same_bytes(two) and _operators(one) == _operators(two):
        return
    alike = first_difference(_operators(one), _operators(two))
    before = [place for at, place in told.reads if at <= alike]
    where = before[-1] if before else _listed(told.places)
    raise ReadsDataError(
        f"what the step does depends on a value of a tensor, read at {where}: its peak is"
        f" {one.peak_dynamic_bytes:,} B or {two.peak_dynamic_bytes:,} B, by what it is told there;"
        " measure it on data that is typical (profile_step)"
    )


def _operators(prediction: StepPrediction) -> list[tuple[Any, ...]]:
    return [
        (each.name, [(given.shape, given.strides) for given in each.given])
        for each in prediction.trace.operators
    ]


def _listed(places: Sequence[str]) -> str:
    return ", ".join(places)
