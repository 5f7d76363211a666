"""The figures of a step that are the same on every machine, by scope.

A scope is the workload as a whole (``workload``), one of its stages, or a phase of a stage
(``STAGE/PHASE``). A scope has bytes as measured and in closed form, by category, and arithmetic.
Times, energies, verdicts and the peak *as deployed* are left out. The parts of a sum have a dot in
their name (``category.gradients_bytes``, ``macs.fp32``); one that is not there is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trainfit._limits import LARGEST_INTEGER
from trainfit.bench.gate.rules import WORKLOAD
from trainfit.bench.records.schema import (
    Memory,
    PhaseMemory,
    PhaseOperations,
    StageMemory,
    StageOperations,
    Workload,
)
from trainfit.bench.records.schema.base import Count

if TYPE_CHECKING:
    from trainfit.bench.profiler import StepProfile

Metrics = dict[
    str,
    Annotated[int, Field(strict=True, ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    | Annotated[str, Field(strict=True)],
]
"""The metrics of one scope, by name: whole numbers, or text such as the name of a phase."""

ONLY_STAGE = "all"
"""Name of the stage of an algorithm that has only one, and of a step of the user's own."""

_WHOLE = (
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "peak_phase",
    "closed_form_bytes",
    "lower_bound_bytes",
    "worst_stage",
)
_STAGE = (*_WHOLE[:5], "closed_form_static_bytes", "lower_bound_bytes")
_PHASE = ("peak_bytes", "entry_bytes", "exit_bytes", "closed_form_bytes", "lower_bound_bytes")

_GROUPS_OF_A_RECORD = 20
_GROUPS_OF_A_PROFILE = 40


_DIFFERENCE = "left_after_step_bytes"
"""The one figure that may be negative: a step may free what it found."""


class TensorGroup(NamedTuple):
    """Tensors alive at the peak that are alike."""

    category: str
    name: str
    bytes: Count
    """Of one of them."""
    times: Count


class StepFigures(BaseModel):
    """What is expected of one step, or what was measured of it.

    Attributes:
        figures: Metrics by scope.
        tensors: By phase of a stage, what was alive at its peak. This explains a difference and is
            not gated itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    figures: dict[str, Metrics]
    tensors: dict[str, list[TensorGroup]] = Field(default_factory=dict)

    @field_validator("figures")
    @classmethod
    def _nothing_is_less_than_none(cls, figures: dict[str, Metrics]) -> dict[str, Metrics]:
        for scope, metrics in figures.items():
            for name, value in metrics.items():
                if not isinstance(value, str) and value < 0 and name != _DIFFERENCE:
                    raise ValueError(f"{scope}/{name} is {value}; it cannot be less than 0")
        return figures

    def metrics(self) -> Iterator[tuple[str, int | str]]:
        """Every metric by its full name: ``workload/static_bytes``, ``all/update/peak_bytes``."""
        for scope, metrics in self.figures.items():
            for name, value in metrics.items():
                yield f"{scope}/{name}", value


def key_of(workload: Workload) -> str:
    """The name of a workload in a golden: all of it that its bytes depend on.

    That is algorithm, options, model, data set, batch size and what is done to the data; not the
    number of passes, nor how often accuracy is taken.
    """
    seed = f" seed={workload.seed}" if workload.seed else ""
    order = "" if workload.shuffle else " unshuffled"
    return workload.label + seed + order


def figures_of_record(memory: Memory, operations: Sequence[StageOperations] = ()) -> StepFigures:
    """Every deterministic figure of a record, and what was alive at the peak of every phase."""
    figures: dict[str, Metrics] = {WORKLOAD: _known(memory, _WHOLE)}
    tensors: dict[str, list[TensorGroup]] = {}
    for stage in memory.stages:
        figures[stage.stage] = _stage(stage)
        for name, phase in stage.phases.items():
            figures[f"{stage.stage}/{name}"] = _phase(phase)
        tensors |= _itemised(stage)
    for counted in operations:
        for name, tally in counted.phases.items():
            figures.setdefault(f"{counted.stage}/{name}", {}).update(_arithmetic(tally))
    return StepFigures.model_construct(figures=figures, tensors=tensors)  # from checked values


def figures_of_profile(profile: StepProfile) -> StepFigures:
    """The figures of a profiled step: its bytes by phase and category, and whose they are."""
    figures: dict[str, Metrics] = {
        WORKLOAD: _known(profile, ("static_bytes", "peak_dynamic_bytes", "peak_phase")),
        ONLY_STAGE: {
            **_known(profile, ("entry_bytes", "left_after_step_bytes")),
            **_by_category("static", profile.static_categories),
        },
    }
    tensors: dict[str, list[TensorGroup]] = {}
    for name, phase in profile.phases.items():
        scope = f"{ONLY_STAGE}/{name}"
        figures[scope] = {
            **_known(phase, ("peak_bytes", "entry_bytes", "exit_bytes")),
            **_by_category("category", phase.categories),
        }
        if not _is_refined(name, profile.phases):
            alive = phase.live_at_peak
            groups = _grouped((each.category, each.label or "unnamed", each.size) for each in alive)
            groups.sort(key=lambda group: -group.bytes * group.times)
            tensors[scope] = groups[:_GROUPS_OF_A_PROFILE]
    return StepFigures(figures=figures, tensors=tensors)


def _itemised(stage: StageMemory) -> dict[str, list[TensorGroup]]:
    """What is alive at the peak of every phase, or of the stage where phases do not say."""
    lists = {
        f"{stage.stage}/{name}": phase.peak_tensors
        for name, phase in stage.phases.items()
        if phase.peak_tensors and not _is_refined(name, stage.phases)
    }
    return {
        scope: _grouped((each.category, each.name, each.bytes) for each in tensors)[
            :_GROUPS_OF_A_RECORD
        ]
        for scope, tensors in (lists or {stage.stage: stage.peak_tensors}).items()
    }


def _is_refined(name: str, phases: Iterable[str]) -> bool:
    """Other phases lie inside of this one; its peak is that of one of them."""
    return any(other.startswith(f"{name}.") for other in phases)


def _grouped(tensors: Iterable[tuple[str, str, int]]) -> list[TensorGroup]:
    """(category, name, bytes) that are alike together, in the order they come."""
    return [TensorGroup(*alike, count) for alike, count in Counter(tensors).items()]


def _stage(stage: StageMemory) -> Metrics:
    left = stage.residual.left_after_step_bytes
    return {
        **_known(stage, _STAGE),
        "left_after_step_bytes": left,
        **_by_category("static", stage.static_categories),
    }


def _phase(phase: PhaseMemory) -> Metrics:
    return _known(phase, _PHASE) | _by_category("category", phase.categories)


def _by_category(prefix: str, categories: Mapping[str, int]) -> Metrics:
    return {f"{prefix}.{name}_bytes": size for name, size in sorted(categories.items())}


def _arithmetic(tally: PhaseOperations) -> Metrics:
    metrics = _prefixed("macs", tally.macs)
    for number_format, kinds in sorted(tally.elementwise.items()):
        metrics |= _prefixed(f"elementwise.{number_format}", kinds)
    return metrics | _prefixed("calls", tally.calls)


def _prefixed(prefix: str, tally: Mapping[str, int]) -> Metrics:
    return {f"{prefix}.{name}": count for name, count in sorted(tally.items()) if count}


def _known(block: object, names: tuple[str, ...]) -> Metrics:
    """The fields that are known; one that is not has no place among expectations."""
    values = {name: getattr(block, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
