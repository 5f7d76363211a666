"""The device view of a trace: its blocks, and the most bytes that are alive at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from trainfit.bench.profiler.fold import OUTSIDE
from trainfit.bench.trace.device.as_torch import blocks_of_torch
from trainfit.bench.trace.device.block import Block
from trainfit.bench.trace.device.fusing import Choice, Fused, fuse
from trainfit.bench.trace.device.places import Place, levels, places_of
from trainfit.bench.trace.device.values import Values, label_bytes, values_of
from trainfit.bench.trace.trace import Trace

_BUDGET = 60_000
"""Operators that are gone through to find a better plan: about half a second."""
_TRIES = 6


@dataclass(frozen=True)
class DeviceView:
    """A step as straight-line C would run it.

    Attributes:
        blocks: What has to be in memory besides what was there before the step.
        levels: Bytes alive at every instant.
        instants: The operator at each instant, by its name, and its phase.
        static_bytes: What was there before the step, labels as bytes.
    """

    blocks: Sequence[Block]
    levels: Sequence[int] = field(repr=False)
    instants: Sequence[tuple[str, str]] = field(repr=False)
    static_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """The most bytes alive at one instant: no arena can be smaller."""
        return max(self.levels, default=0)

    @property
    def peak_instant(self) -> int:
        """The first instant at which they are."""
        return self.levels.index(self.peak_bytes) if self.levels else 0

    @property
    def at_peak(self) -> tuple[Block, ...]:
        """The blocks that are alive then, largest first; they sum to ``peak_bytes``."""
        at = self.peak_instant
        alive = [block for block in self.blocks if block.born <= at < block.died]
        return tuple(sorted(alive, key=lambda block: -block.bytes))

    @property
    def phases(self) -> Mapping[str, int]:
        """The most bytes alive while each phase is open; ``a.b`` counts in ``a`` as well."""
        peaks: dict[str, int] = {}
        for (_, phase), level in zip(self.instants, self.levels, strict=False):
            parts = (phase or OUTSIDE).split(".")
            for name in (".".join(parts[: k + 1]) for k in range(len(parts))):
                peaks[name] = max(peaks.get(name, 0), level)
        return peaks


@dataclass(frozen=True)
class _Plan:
    """One way to store the values."""

    fused: Fused
    places: list[Place]
    levels: list[int]
    stored: Choice
    left_out: Choice

    @property
    def peak(self) -> int:
        return max(self.levels)


def device_view(trace: Trace) -> DeviceView:
    """What a step needs on a device, from its trace; see the package for the rules."""
    values = values_of(trace)
    plan = plan_of(values)
    blocks = [
        Block(
            number,
            place.bytes,
            place.born,
            place.last + 1,
            *_name_of(trace, place),
            tuple(
                dict.fromkeys(
                    values.steps[at].operator.phase for each in place.values for at in each.writes
                )
            ),
        )
        for number, place in enumerate(plan.places)
    ]
    instants = [(step.operator.name, step.operator.phase) for step in values.steps]
    levels = plan.levels
    if max(levels, default=0) > trace.torch_view.peak_dynamic_bytes:
        blocks, levels, instants = blocks_of_torch(trace)
    return DeviceView(blocks, levels, instants, _static_bytes(trace, values))


def plan_of(values: Values) -> _Plan:
    """The best of some plans, all of them right.

    What is computed where it is read lets its operands live longer: at the peak, that is undone
    for one value after another, or done for another one, as long as the peak falls.
    """
    now = _plan(values, frozenset(), frozenset())
    left = _BUDGET // max(len(values.steps), 1)
    while left > 0:
        choices = _choices(now)[:left]
        left -= len(choices)
        better = min((_plan(values, *choice) for choice in choices), key=_cost, default=now)
        if _cost(better) >= _cost(now):
            break
        now = better
    return now


def _cost(plan: _Plan) -> tuple[int, int]:
    """The peak, and how often it is reached."""
    return plan.peak, plan.levels.count(plan.peak)


def _choices(plan: _Plan) -> list[tuple[Choice, Choice]]:
    """Other decisions on values that live, or would, at the peak; the largest first.

    What is made at the peak comes before all others: its operands are there in any case.
    """
    at = plan.levels.index(plan.peak)
    fused, values = plan.fused, plan.fused.values.values
    undo = sorted(
        (-longer, number)
        for number, longer in fused.kept_longer.items()
        if values[number].maker <= at <= fused.runs[values[number].maker]
    )
    do = sorted(
        (values[number].maker != at, -values[number].bytes, number)
        for number, there in fused.refused.items()
        if values[number].maker <= at <= there
    )
    return [(plan.stored | {n}, plan.left_out - {n}) for _, n in undo[:_TRIES]] + [
        (plan.stored - {n}, plan.left_out | {n}) for *_, n in do[:_TRIES]
    ]


def _plan(values: Values, stored: Choice, left_out: Choice) -> _Plan:
    fused = fuse(values, without=stored, also=left_out)
    places = places_of(fused)
    return _Plan(fused, places, levels(places, len(values.steps)), stored, left_out)


def _name_of(trace: Trace, place: Place) -> tuple[str, str]:
    """Category and label."""
    if not place.values:
        return "workspace", "sums of a row"
    storage = trace.storages[place.values[0].storage]
    return storage.category, storage.label


def _static_bytes(trace: Trace, values: Values) -> int:
    """Bytes of what was found; of integers that are labels, as many as those need."""
    total = sum(storage.size for storage in trace.storages if storage.found)
    for value in values.values:
        if value.found:
            uses = [(values.steps[at], each) for at, seen in value.reads.items() for each in seen]
            if uses and {each.dtype for _, each in uses} == {torch.int64} and not value.writes:
                size = trace.storages[value.storage].size
                total -= size - size // 8 * label_bytes(uses)
    return total
