"""Figures that are computed for a device: intervals, their sums, and what has no figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from trainfit.bench.records.schema import Bounds, Evidence, StageOperations
from trainfit.bench.records.schema.base import Block


class Modelled(Block):
    """A figure per step that was computed for a device, not measured on it.

    ``evidence`` is ``modelled`` or ``unavailable``, then with a ``reason``. ``model`` names the
    model, ``source`` where its figures come from; ``terms`` are the parts of the step's bounds, so
    that a reader sees what dominates.
    """

    evidence: Evidence
    model: str | None = None
    source: str | None = None
    stage: str | None = None
    """The stage whose step takes the most; one step of it is what the bounds are of."""
    step: Bounds | None = None
    phases: dict[str, Bounds] = Field(default_factory=dict)
    terms: dict[str, Bounds] = Field(default_factory=dict)
    reason: str | None = None


class DeviceModel(Block):
    """What a step would take on a device that is not here: seconds and joules."""

    device: str
    latency: Modelled
    energy: Modelled
    energy_per_sample: Bounds | None = None
    """Joules per training sample, over all stages; None where ``energy`` is unavailable."""


Interval = tuple[float, float]
"""Low and high."""

Parts = tuple[Mapping[str, Interval], Mapping[str, Interval]]
"""The bounds of the phases of a stage, and of its terms."""


def scaled(interval: Interval, factor: float) -> Interval:
    """Both ends times a factor."""
    return interval[0] * factor, interval[1] * factor


def summed(intervals: Iterable[Interval]) -> Interval:
    """Low with low, high with high."""
    low = high = 0.0
    for each in intervals:
        low += each[0]
        high += each[1]
    return low, high


def bounds(interval: Interval) -> Bounds:
    """As a record has it: to six digits, since no model is better than that."""
    return Bounds(low=float(f"{interval[0]:.6g}"), high=float(f"{interval[1]:.6g}"))


def largest(
    found: Sequence[Parts], stages: Sequence[StageOperations]
) -> tuple[str, Mapping[str, Interval], Mapping[str, Interval]]:
    """The stage with the highest upper bound: its name, its phases, its terms."""
    index = max(range(len(found)), key=lambda i: summed(found[i][1].values())[1])
    return stages[index].stage, *found[index]


def not_countable(stages: Sequence[StageOperations]) -> str:
    """Why nothing can be modelled from these operations; empty where it can."""
    if not stages:
        return "the operations of the step are not known"
    silent = [stage.stage for stage in stages if not stage.is_counted]
    if silent:
        where = "" if len(silent) == len(stages) else f" of stage {silent[0]}"
        return f"the algorithm states no operations{where}"
    if any(stage.static_bytes is None for stage in stages):
        return "the record is of version 1, which lacks what products read and write"
    return ""


def unavailable(model: str, reason: str) -> Modelled:
    """No figure, and why."""
    return Modelled(evidence=Evidence.UNAVAILABLE, model=model, reason=reason)
