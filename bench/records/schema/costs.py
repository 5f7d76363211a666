"""The parts of a record that are arithmetic, time and energy of a step."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from trainfit.bench.records.schema.base import Block, Bounds, Count, Evidence, Share, Time

if TYPE_CHECKING:
    from trainfit.algorithms.memory.operations import PhaseOperations as Tally


class PhaseOperations(Block):
    """Arithmetic of one phase of a step.

    ``macs`` are multiply-accumulates of matrix products by number format; ``elementwise`` are
    element operations by number format and kind; ``operands`` and ``results`` are the elements
    that products read and write; ``calls`` counts both. See
    :mod:`trainfit.algorithms.memory.operations`.
    """

    macs: dict[str, Count]
    elementwise: dict[str, dict[str, Count]]
    operands: dict[str, Count] = Field(default_factory=dict)
    results: dict[str, Count] = Field(default_factory=dict)
    calls: dict[str, Count] = Field(default_factory=dict)
    """Empty in records of version 1, as are ``operands`` and ``results``."""

    @property
    def elements(self) -> int:
        """Element operations of all number formats and kinds."""
        return sum(count for kinds in self.elementwise.values() for count in kinds.values())


class StageOperations(Block):
    """Arithmetic of a step of one stage, from its trace; refined phases count in those around."""

    evidence: Evidence = Evidence.TRACED
    stage: str
    static_bytes: Count | None = None
    """Predicted static bytes; None in records of version 1."""
    phases: dict[str, PhaseOperations]

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of the whole step by number format."""
        total: dict[str, int] = {}
        for phase in self.outermost:
            for number_format, count in phase.macs.items():
                total[number_format] = total.get(number_format, 0) + count
        return total

    @property
    def is_counted(self) -> bool:
        """Whether any operation is stated: a step without arithmetic trains nothing."""
        return any(
            phase.elements or any(any(tally.values()) for tally in (phase.macs, phase.results))
            for phase in self.outermost
        )

    @property
    def outermost(self) -> list[PhaseOperations]:
        """The phases that refine no other: every operation counts in exactly one of them."""
        return [phase for name, phase in self.phases.items() if "." not in name]

    @classmethod
    def of(cls, stage: str, phases: Mapping[str, Tally], static_bytes: int | None = None) -> Self:
        """From the tallies of a memory model."""
        return cls(
            stage=stage,
            static_bytes=static_bytes,
            phases={
                name: PhaseOperations(
                    macs=_named(tally.macs),
                    elementwise=_nested(tally.elementwise),
                    operands=_named(tally.operands),
                    results=_named(tally.results),
                    calls=_named(tally.calls),
                )
                for name, tally in phases.items()
            },
        )


def _named(tally: Mapping[Any, int]) -> dict[str, int]:
    return {str(key): count for key, count in tally.items()}


def _nested(tally: Mapping[Any, int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (number_format, kind), count in tally.items():
        nested.setdefault(str(number_format), {})[str(kind)] = count
    return nested


class PhaseLatency(Block):
    """Seconds spent in one phase per step; ``interval`` is a bootstrap interval of the median."""

    seconds_median: Time
    seconds_iqr: Time
    interval: Bounds | None = None


class Stop(StrEnum):
    """Why no more steps were timed."""

    SETTLED = "settled"  # the interval of the median is as narrow as asked
    STEPS = "steps"  # the cap on their number
    SECONDS = "seconds"  # the cap on the time


class Latency(Block):
    """Time of a step on this machine, measured without tracing, at the worst stage for memory."""

    evidence: Evidence
    step_seconds_median: Time | None
    step_seconds_iqr: Time | None
    step_interval: Bounds | None = None
    """Bootstrap interval of the median step, in seconds."""
    confidence: Share | None = None
    """What share of such intervals hold the true median, such as 0.95."""
    asked_width: float | None = None
    """The interval was to be at most this fraction of the median wide."""
    stopped: Stop | None = None
    steps: Count
    warmup_steps: Count | None = None
    threads: Count
    onednn: bool
    clock: str | None = None
    """``perf_counter`` or ``cuda_events``."""
    cpu_governor: str | None = None
    """Of the first usable core, such as ``performance``; None where the system does not say."""
    phases: dict[str, PhaseLatency]
    reason: str | None = None


class PhaseEnergy(Block):
    """Joules of one phase per step.

    ``window_seconds`` is the time spent in the phase over all measured steps; a window of fewer
    than ten sampling intervals is not ``valid``, and then ``joules`` is None.
    """

    joules: float | None
    window_seconds: Time
    samples: Count
    """Sampling intervals that overlap the phase."""
    valid: bool
    reason: str | None = None


class Energy(Block):
    """Energy of a step on this machine, by a sensor; at the worst stage for memory.

    ``evidence`` is ``sensor`` or ``unavailable``; what is unavailable has a ``reason`` and no
    figure. ``rails`` are the names under which the board's maker lists what was measured, and
    ``coverage`` says what they feed.
    """

    evidence: Evidence
    sensor: str | None = None
    rails: list[str] = Field(default_factory=list)
    coverage: str | None = None
    joules_per_step: float | None = None
    joules_per_step_interval: Bounds | None = None
    """Over windows: the bootstrap interval of their mean."""
    rail_joules_per_step: dict[str, float] = Field(default_factory=dict)
    idle_watts: float | None = None
    idle_subtracted: bool = False
    sampling_interval_seconds: float | None = None
    window_seconds: Time | None = None
    windows: Count = 0
    steps: Count = 0
    valid: bool = False
    phases: dict[str, PhaseEnergy] = Field(default_factory=dict)
    phase_split: Literal["sampled", "time_share"] | None = None
    """Phases longer than a sampling interval are ``sampled``; shorter ones share by time."""
    reason: str | None = None
