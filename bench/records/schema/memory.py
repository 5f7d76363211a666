"""The part of a record that is bytes: what a step needs, phase by phase."""

from __future__ import annotations

from functools import cached_property
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from trainfit.bench.records.schema.base import FROM_FILE, Block, Count, Evidence


class TensorBytes(Block):
    """One tensor alive at the peak, as measured or as the prediction lists it.

    ``module`` and ``line`` say where a measured one was made, as ``features.3.conv`` and
    ``train.py:41``.
    """

    name: str
    bytes: int
    """Of a residual, what is missing may be less than 0."""
    category: str
    shape: tuple[int, ...] | None = None
    bits: Count | None = None
    essential: bool | None = None
    module: str | None = None
    line: str | None = None


class PhaseMemory(Block):
    """Dynamic bytes of one phase.

    ``entry_bytes`` is the level when the phase is first entered, ``exit_bytes`` when it is last
    left; ``categories`` splits ``peak_bytes`` and sums to it exactly. ``device_bytes`` is
    the most that the same schedule needs in this phase as C would run it; in older records, what
    the algorithm cannot do without. It is None where no operator runs in the phase.
    """

    peak_bytes: Count
    entry_bytes: Count
    exit_bytes: Count
    categories: dict[str, int]
    predicted_bytes: Count | None = None
    device_bytes: Count | None = None
    """None in records of versions 1 and 2."""
    peak_tensors: list[TensorBytes] = Field(default_factory=list)
    """What is alive at the peak of the phase, largest first; with stages, from version 3 on."""

    @field_validator("categories")
    @classmethod
    def _no_less_than_nothing(
        cls, categories: dict[str, int], info: ValidationInfo
    ) -> dict[str, int]:
        if info.context == FROM_FILE and any(size < 0 for size in categories.values()):
            raise ValueError("categories: bytes cannot be less than 0")
        return categories

    @field_validator("peak_tensors")
    @classmethod
    def _tensors_have_bytes(
        cls, tensors: list[TensorBytes], info: ValidationInfo
    ) -> list[TensorBytes]:
        return _of_some_size(tensors, info)


def _of_some_size(tensors: list[TensorBytes], info: ValidationInfo) -> list[TensorBytes]:
    if info.context == FROM_FILE and any(each.bytes < 0 for each in tensors):
        raise ValueError("peak_tensors: bytes cannot be less than 0")
    return tensors


class Residual(Block):
    """What prediction and measurement do not agree on, and what a step leaves behind.

    ``unexplained_bytes`` is measured peak minus prediction, 0 without one; ``items`` names its
    parts.
    ``left_after_step_bytes`` is the level after the step minus the level before it.
    """

    unexplained_bytes: int
    left_after_step_bytes: int
    items: list[TensorBytes] = Field(default_factory=list)


class StageMemory(Block):
    """Memory of one stage (one layer of a layer-wise algorithm, or the whole net).

    ``predicted_bytes`` is what the step's trace predicts, ``predicted_static_bytes`` what is
    held besides; ``device_bytes`` what the same schedule needs as C would run it, and
    ``arena_bytes`` one piece of memory in which every tensor of that has its place (None in records
    of older runs). They are None, and ``not_predicted`` says why, where a step cannot be traced.
    """

    stage: str
    static_bytes: Count
    static_categories: dict[str, Count]
    storage_bytes: Count
    peak_dynamic_bytes: Count
    peak_phase: str
    predicted_bytes: Count | None
    predicted_static_bytes: Count | None
    device_bytes: Count | None
    arena_bytes: Count | None = None
    not_predicted: str | None = None
    deterministic: bool
    phases: dict[str, PhaseMemory]
    peak_tensors: list[TensorBytes]
    residual: Residual

    @field_validator("peak_tensors")
    @classmethod
    def _tensors_have_bytes(
        cls, tensors: list[TensorBytes], info: ValidationInfo
    ) -> list[TensorBytes]:
        return _of_some_size(tensors, info)

    @property
    def ram_bytes(self) -> int:
        """Static plus peak dynamic bytes: what a device must hold."""
        return self.static_bytes + self.peak_dynamic_bytes

    @property
    def no_arena(self) -> str:
        """Why there is no arena, or why it says nothing of this step; empty where it does.

        An arena follows from the trace. Where the step that was measured is another, it is not
        this step's.
        """
        if self.arena_bytes is None:
            return self.not_predicted or "the record has none"
        if self.residual.unexplained_bytes:
            return f"measured {self.residual.unexplained_bytes:+,} B beside the trace"
        if self.predicted_static_bytes not in (None, self.static_bytes):
            return "static bytes are not those of the trace"
        if self.residual.left_after_step_bytes > 0:
            return "the step leaves bytes behind"
        return "" if self.deterministic else "repeats of the step differ"


class AsDeployed(Block):
    """The peak with threads and oneDNN as the user would run it; never gated."""

    peak_dynamic_bytes: Count | None
    threads: Count
    onednn: bool
    deterministic: bool
    reason: str | None = None


class Memory(Block):
    """Memory of a workload, stage by stage; its figures are those of the worst stage.

    The worst stage is the one with the largest static plus peak dynamic bytes.
    """

    evidence: Evidence
    worst_stage: str
    stages: list[StageMemory]
    as_deployed: AsDeployed | None = None

    @model_validator(mode="after")
    def _worst_is_there(self) -> Self:
        if self.worst_stage not in [stage.stage for stage in self.stages]:
            raise ValueError(f"worst_stage {self.worst_stage!r} is none of the stages")
        return self

    @cached_property
    def worst(self) -> StageMemory:
        """The stage that needs the most RAM."""
        return next(stage for stage in self.stages if stage.stage == self.worst_stage)

    @property
    def static_bytes(self) -> int:
        """Of the worst stage."""
        return self.worst.static_bytes

    @property
    def storage_bytes(self) -> int:
        """The largest over all stages."""
        return max(stage.storage_bytes for stage in self.stages)

    @property
    def peak_dynamic_bytes(self) -> int:
        """Of the worst stage."""
        return self.worst.peak_dynamic_bytes

    @property
    def peak_phase(self) -> str:
        """Of the worst stage."""
        return self.worst.peak_phase

    @property
    def predicted_bytes(self) -> int | None:
        """Of the worst stage."""
        return self.worst.predicted_bytes

    @property
    def device_bytes(self) -> int | None:
        """Of the worst stage."""
        return self.worst.device_bytes

    @property
    def arena_bytes(self) -> int | None:
        """The largest sum of static bytes and arena over all stages, less the static bytes.

        None where a stage has none, or where what was measured is not what the trace says: then
        nothing that follows from the trace is to be trusted.
        """
        sums = [
            stage.static_bytes + stage.arena_bytes
            for stage in self.stages
            if stage.arena_bytes is not None and not stage.no_arena
        ]
        return max(sums) - self.static_bytes if len(sums) == len(self.stages) else None

    @property
    def deterministic(self) -> bool:
        """Every stage allocated the same in all repeats."""
        return all(stage.deterministic for stage in self.stages)
