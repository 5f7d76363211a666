"""One schema for writers and readers of records; one JSON line per workload.

Bytes are ``int``, times ``float`` seconds. What was not measured is ``None`` beside a reason,
never 0. Unknown keys are an error, so that a reader never silently drops what a writer meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "trainfit.record/1"
"""Name and version of the record format; a change that breaks readers raises the number."""


class Tally(Protocol):
    """What :class:`algorithms.operations.PhaseOperations` looks like from here."""

    @property
    def macs(self) -> Mapping[Any, int]:
        """Multiply-accumulates by number format."""

    @property
    def elementwise(self) -> Mapping[Any, int]:
        """Element operations by (number format, kind)."""


class Evidence(StrEnum):
    """How a number was obtained."""

    ANALYTIC = "analytic"
    ALLOCATOR = "allocator"
    MODELLED = "modelled"
    SENSOR = "sensor"
    EMULATED = "emulated"
    DEVICE = "device"
    CLOCK = "clock"
    UNAVAILABLE = "unavailable"


class RecordStatus(StrEnum):
    """How measuring a workload ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"


class Measurement(StrEnum):
    """What can be measured of a workload."""

    MEMORY = "memory"
    LATENCY = "latency"
    ACCURACY = "accuracy"


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Workload(_Block):
    """One thing to measure.

    ``options`` holds only what the suite set; the algorithm's defaults fill the rest.
    """

    algorithm: str
    options: dict[str, Any] = Field(default_factory=dict)
    model: str
    dataset: str
    batch_size: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=0, ge=0)
    """Passes over the training data per stage for the accuracy; 0 measures no accuracy."""
    evaluate_every: int = Field(default=1, ge=1)
    """Passes from one point of the accuracy's curve to the next; the last pass always is one."""
    train_samples: int | None = Field(default=None, ge=1)
    """Only the first samples of the training half; None takes all."""
    standardise: bool = False
    """Mean 0 and deviation 1 per channel, by the training half."""
    shuffle: bool = True
    """Draw the order of the training half anew for every pass; otherwise as the files have it."""

    @property
    def label(self) -> str:
        """How a person names it: ``backprop[optimizer=adam] mlp-64-128-128-10 b32``."""
        options = ",".join(f"{key}={_plain(value)}" for key, value in sorted(self.options.items()))
        chosen = f"[{options}]" if options else ""
        data = self.dataset
        if self.train_samples is not None:
            data += f"[:{self.train_samples}]"
        if self.standardise:
            data += " standardised"
        return f"{self.algorithm}{chosen} {self.model} {data} b{self.batch_size}"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class TensorBytes(_Block):
    """One tensor alive at the peak, as measured or as the closed form lists it."""

    name: str
    bytes: int
    category: str
    shape: tuple[int, ...] | None = None
    bits: int | None = None
    essential: bool | None = None


class PhaseMemory(_Block):
    """Dynamic bytes of one phase.

    ``entry_bytes`` is the level when the phase is first entered, ``exit_bytes`` when it is last
    left; ``categories`` splits ``peak_bytes`` and sums to it exactly.
    """

    peak_bytes: int
    entry_bytes: int
    exit_bytes: int
    categories: dict[str, int]
    closed_form_bytes: int | None = None


class Residual(_Block):
    """What closed form and measurement do not agree on, and what a step leaves behind.

    ``unexplained_bytes`` is measured peak minus closed form; ``items`` names its parts.
    ``left_after_step_bytes`` is the level after the step minus the level before it.
    """

    unexplained_bytes: int
    left_after_step_bytes: int
    items: list[TensorBytes] = Field(default_factory=list)


class StageMemory(_Block):
    """Memory of one stage (one layer of a layer-wise algorithm, or the whole net)."""

    stage: str
    static_bytes: int
    static_categories: dict[str, int]
    storage_bytes: int
    peak_dynamic_bytes: int
    peak_phase: str
    closed_form_bytes: int
    closed_form_static_bytes: int
    lower_bound_bytes: int
    deterministic: bool
    phases: dict[str, PhaseMemory]
    peak_tensors: list[TensorBytes]
    residual: Residual

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes: what a device must hold."""
        return self.static_bytes + self.peak_dynamic_bytes


class AsDeployed(_Block):
    """The peak with threads and oneDNN as the user would run it; never gated."""

    peak_dynamic_bytes: int | None
    threads: int
    onednn: bool
    deterministic: bool
    reason: str | None = None


class Memory(_Block):
    """Memory of a workload: the figures of its worst stage, then every stage.

    The worst stage is the one with the largest static plus peak dynamic bytes.
    ``storage_bytes`` is the largest over all stages.
    """

    evidence: Evidence
    static_bytes: int
    storage_bytes: int
    peak_dynamic_bytes: int
    peak_phase: str
    closed_form_bytes: int
    lower_bound_bytes: int
    deterministic: bool
    phases: dict[str, PhaseMemory]
    residual: Residual
    worst_stage: str
    stages: list[StageMemory]
    as_deployed: AsDeployed | None = None


class PhaseOperations(_Block):
    """Arithmetic of one phase of a step.

    ``macs`` are multiply-accumulates of matrix products by number format; ``elementwise`` are
    element operations by number format and kind. See :mod:`algorithms.operations`.
    """

    macs: dict[str, int]
    elementwise: dict[str, dict[str, int]]


class StageOperations(_Block):
    """Arithmetic of a step of one stage, in closed form; refined phases count in those around."""

    evidence: Evidence = Evidence.ANALYTIC
    stage: str
    phases: dict[str, PhaseOperations]

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of the whole step by number format."""
        total: dict[str, int] = {}
        for name, phase in self.phases.items():
            for number_format, count in phase.macs.items() if "." not in name else ():
                total[number_format] = total.get(number_format, 0) + count
        return total

    @classmethod
    def of(cls, stage: str, phases: Mapping[str, Tally]) -> Self:
        """From the tallies of a memory model."""
        return cls(
            stage=stage,
            phases={
                name: PhaseOperations(
                    macs={str(key): count for key, count in tally.macs.items()},
                    elementwise=_nested(tally.elementwise),
                )
                for name, tally in phases.items()
            },
        )


def _nested(tally: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (number_format, kind), count in tally.items():
        nested.setdefault(str(number_format), {})[str(kind)] = count
    return nested


class PhaseLatency(_Block):
    """Seconds spent in one phase per step."""

    seconds_median: float
    seconds_iqr: float


class Latency(_Block):
    """Time of a step, measured without tracing, at the worst stage for memory."""

    evidence: Evidence
    step_seconds_median: float | None
    step_seconds_iqr: float | None
    steps: int
    threads: int
    onednn: bool
    phases: dict[str, PhaseLatency]
    reason: str | None = None


class Accuracy(_Block):
    """Accuracy on the test split after training on the training split."""

    test_accuracy: float
    epochs: int
    train_seconds: float
    curve: list[float] = Field(default_factory=list)
    """Test accuracy after some passes over the training data."""
    curve_passes: list[int] = Field(default_factory=list)
    """After how many passes each point of the curve was measured."""
    data_note: str = ""
    """What there is to know about the data, such as which part of it was at hand."""


class VerdictRecord(_Block):
    """One device budget held against the workload; ``margin`` in bytes."""

    device: str
    budget: str
    status: str
    margin: int | None
    reason: str


class ErrorRecord(_Block):
    """Why a workload did not end well."""

    type: str
    message: str
    where: str | None = None


class Record(_Block):
    """Everything measured about one workload."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    workload: Workload
    status: RecordStatus
    operations: list[StageOperations] = Field(default_factory=list)
    memory: Memory | None = None
    latency: Latency | None = None
    accuracy: Accuracy | None = None
    verdicts: list[VerdictRecord] = Field(default_factory=list)
    error: ErrorRecord | None = None
    seconds: float
    """Wall time this workload took to measure, everything included."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
