"""The parts of a record that are time and energy, measured here or modelled for a device."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from trainfit.bench.records.schema.base import Block, Evidence


class Bounds(Block):
    """An interval that a figure lies in, both ends included; the unit is that of the field."""

    low: float = Field(ge=0, allow_inf_nan=False)
    high: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class PhaseLatency(Block):
    """Seconds spent in one phase per step; ``interval`` is a bootstrap interval of the median."""

    seconds_median: float
    seconds_iqr: float
    interval: Bounds | None = None


class Stop(StrEnum):
    """Why no more steps were timed."""

    SETTLED = "settled"  # the interval of the median is as narrow as asked
    STEPS = "steps"  # the cap on their number
    SECONDS = "seconds"  # the cap on the time


class Latency(Block):
    """Time of a step on this machine, measured without tracing, at the worst stage for memory."""

    evidence: Evidence
    step_seconds_median: float | None
    step_seconds_iqr: float | None
    step_interval: Bounds | None = None
    """Bootstrap interval of the median step, in seconds."""
    confidence: float | None = None
    """What share of such intervals hold the true median, such as 0.95."""
    asked_width: float | None = None
    """The interval was to be at most this fraction of the median wide."""
    stopped: Stop | None = None
    steps: int
    warmup_steps: int | None = None
    threads: int
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
    window_seconds: float
    samples: int
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
    window_seconds: float | None = None
    windows: int = 0
    steps: int = 0
    valid: bool = False
    phases: dict[str, PhaseEnergy] = Field(default_factory=dict)
    phase_split: Literal["sampled", "time_share"] | None = None
    """Phases longer than a sampling interval are ``sampled``; shorter ones share by time."""
    reason: str | None = None


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
