"""The largest size that fits when it is measured, where the prediction promised a larger one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice

from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import REFUSED_IN_A_ROW, Largest, sized
from trainfit.bench.sizing.measuring import Confirmed, Measure, confirmed
from trainfit.bench.sizing.predicted_workload import PredictedWorkload, predicted_workload
from trainfit.bench.verdicts.judge import FITTING
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.bench.verdicts.ram import RamNeed
from trainfit.hardware_profiles import Budgets, Device

MOST_MEASUREMENTS = 16
"""Sizes that are measured at most; from the prediction's answer down, two or three are usual."""


@dataclass(frozen=True)
class Step:
    """A size that was measured.

    Attributes:
        size: The batch, width or depth.
        confirmed: Its prediction and what was measured.
        ram: What it needs as measured, under the device's allocator.
        predicted_bytes: The same by prediction.
        verdict: The one that decides, on what was measured.
    """

    size: int
    confirmed: Confirmed
    ram: RamNeed
    predicted_bytes: int
    verdict: Verdict

    @property
    def ram_bytes(self) -> int:
        """RAM as measured."""
        found = self.ram.ram_bytes
        assert found is not None  # it was measured
        return found

    @property
    def fits(self) -> bool:
        """It is within every budget, as measured."""
        return self.verdict.status in FITTING


@dataclass(frozen=True)
class MeasuredLargest:
    """The answer of the prediction, and what became of it when it was measured.

    Attributes:
        predicted: The answer of the prediction.
        steps: Sizes that were measured, in this order; the first is the predicted one.
        reason: Why the answer is only a prediction, or why the search for a smaller one ended
            before it was certain; empty where neither is so.
    """

    predicted: Largest
    steps: tuple[Step, ...]
    reason: str = ""

    @property
    def answer(self) -> Step | None:
        """The largest size that was measured and fits."""
        return max(
            (step for step in self.steps if step.fits), key=lambda each: each.size, default=None
        )

    @property
    def refuted(self) -> bool:
        """What the prediction said was measured, and does not fit."""
        return bool(self.steps) and not self.steps[0].fits

    @property
    def size(self) -> int | None:
        """The largest size that fits: as measured where that is known, else as predicted."""
        if not self.steps:
            return self.predicted.size
        return self.answer.size if self.answer else None


def measured_largest(
    found: Largest,
    workload: Workload,
    device: Device,
    budgets: Budgets,
    measure: Measure | None,
) -> MeasuredLargest:
    """Confirm the largest size by measurement; where it does not fit, find the largest that does.

    Args:
        found: The answer of the prediction.
        workload: What it is the answer for.
        device: What it has to fit.
        budgets: Budgets beside those of the device's profile.
        measure: Measures a step; None takes the prediction as it is.
    """
    if found.size is None:
        return MeasuredLargest(found, ())
    make = sized(workload, found.dimension)
    steps: list[Step] = []

    def look(size: int) -> Step | str:
        form = predicted_workload(make(size))
        checked = confirmed(form, measure)
        if checked.memory is None:
            return checked.reason
        verdict = worst(checked.verdicts(device, budgets))
        step = Step(size, checked, checked.ram_on(device), form.ram_on(device), verdict)
        steps.append(step)
        return step

    low, high, reason = 0, found.size, ""
    step = look(high)
    while isinstance(step, Step):
        low, high = (max(low, step.size), high) if step.fits else (low, min(high, step.size))
        if steps[0].fits:
            break
        if step.confirmed.left_bytes:
            reason = f"every step leaves {step.confirmed.left_bytes:,} B behind, whatever its size"
            break
        following = _between(make, low, high, _guess(steps, make, low, high))
        if following is None:
            break
        if len(steps) == MOST_MEASUREMENTS:
            name = found.dimension
            reason = (
                f"{MOST_MEASUREMENTS} sizes were measured; {name} {low + 1:,} and more were not"
            )
            break
        step = look(following)
    if isinstance(step, str):
        reason = step
    return MeasuredLargest(found, tuple(steps), reason)


def _guess(steps: list[Step], make: Callable[[int], Workload], low: int, high: int) -> int:
    """The next size to measure: where a straight line through what was measured meets the limit.

    Through the smallest that does not fit and the largest that does; before there is one, through
    the first and the prediction's error in proportion to the size.
    """
    above = next(step for step in reversed(steps) if step.size == high)
    margin = above.verdict.margin
    if not isinstance(margin, int):
        return (low + high) // 2
    below = next((step for step in steps if step.size == low), None)
    if below is not None and isinstance(below.verdict.margin, int):
        slope = (below.verdict.margin - margin) / (high - low)
        return high + int(margin / slope) if slope > 0 else (low + high) // 2
    form = _form(make, high // 2) if high > 1 else None
    if form is None:
        return (low + high) // 2
    per_size = (above.confirmed.form.ram_bytes - form.ram_bytes) / (high - high // 2)
    per_size += above.confirmed.difference / high
    return high + int(margin / per_size) if per_size > 0 else (low + high) // 2


def _between(make: Callable[[int], Workload], low: int, high: int, guess: int) -> int | None:
    """The size strictly between that is nearest to the guess and can be trained."""
    start = min(max(guess, low + 1), high - 1)
    outwards = chain.from_iterable(
        zip(range(start, -high, -1), range(start + 1, start + 2 * high), strict=False)
    )
    for size in islice(outwards, 2 * REFUSED_IN_A_ROW):
        if low < size < high and _form(make, size) is not None:
            return size
    return None


def _form(make: Callable[[int], Workload], size: int) -> PredictedWorkload | None:
    try:
        return predicted_workload(make(size))
    except ConfigurationError:
        return None
