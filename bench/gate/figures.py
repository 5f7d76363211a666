"""The figures of a step that are the same on every machine, by scope.

A scope is the workload as a whole (``workload``), one of its stages, or a phase of a stage
(``STAGE/PHASE``). A scope has bytes as measured and as predicted, by category, and arithmetic.
Times, energies, verdicts and the peak *as deployed* are left out. The parts of a sum have a dot in
their name (``category.gradients_bytes``, ``macs.fp32``); one that is not there is 0. What a step
allocates in its course came later than the first goldens and is :data:`OPTIONAL`.
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
    from trainfit.bench.profiler.fold import Block

Metrics = dict[
    str,
    Annotated[int, Field(strict=True, ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    | Annotated[str, Field(strict=True)],
]
"""The metrics of one scope, by name: whole numbers, or text such as the name of a phase."""

ONLY_STAGE = "all"
"""Name of the stage of an algorithm that has only one, and of a step of the user's own."""

LEFT = "left"
"""In place of a phase: the tensors that a step makes and leaves behind."""

UNNAMED = "unnamed"
"""The name of bytes that no watched operator made."""

OPTIONAL = frozenset({"allocated_bytes", "allocations", "arena_bytes"})
"""Metrics that are compared where both sides have them: a golden without them stays valid."""

_WHOLE = (
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "peak_phase",
    "predicted_bytes",
    "device_bytes",
    "arena_bytes",
    "worst_stage",
)
_STAGE = (*_WHOLE[:5], "predicted_static_bytes", "device_bytes", "arena_bytes")
_PHASE = ("peak_bytes", "entry_bytes", "exit_bytes", "predicted_bytes", "device_bytes")

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
        tensors: By phase of a stage, what was alive at its peak; by :data:`LEFT` what the step left
            behind. This explains a difference and is not gated itself.
        places: Where tensors are made, by :func:`place_key`, as ``conv1 at train.py:41``. A golden
            file does not keep it: lines move with every edit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    figures: dict[str, Metrics]
    tensors: dict[str, list[TensorGroup]] = Field(default_factory=dict)
    places: dict[str, list[str]] = Field(default_factory=dict)

    def same_figures(self, other: StepFigures) -> bool:
        """Whether every metric that both must have is equal."""
        if self.figures == other.figures:  # nearly always, and fast
            return True
        return _without_lacking(self, other) == _without_lacking(other, self)

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


def _without_lacking(step: StepFigures, other: StepFigures) -> dict[str, Metrics]:
    """Figures of a step, less what is optional and not known of the other."""
    return {
        scope: {
            name: value
            for name, value in metrics.items()
            if name not in OPTIONAL or name in other.figures.get(scope, {})
        }
        for scope, metrics in step.figures.items()
    }


def place_key(name: str, size: int) -> str:
    """Under what ``places`` of a step has a tensor."""
    return f"{name}, {size}"


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
            **_allocated(profile),
            **_by_category("static", profile.static_categories),
        },
    }
    tensors: dict[str, list[TensorGroup]] = {}
    course = _allocated_by_phase(profile)
    for name, phase in profile.phases.items():
        scope = f"{ONLY_STAGE}/{name}"
        figures[scope] = {
            **_known(phase, ("peak_bytes", "entry_bytes", "exit_bytes")),
            **course.get(name, {}),
            **_by_category("category", phase.categories),
        }
        if not _is_refined(name, profile.phases):
            tensors[scope] = _largest_groups(phase.live_at_peak)
    if left := left_groups(profile):
        tensors[LEFT] = left
    return StepFigures(figures=figures, tensors=tensors, places=places_of(profile))


def left_groups(profile: StepProfile) -> list[TensorGroup]:
    """The tensors that a step leaves behind, the largest first; empty where it leaves none."""
    return _largest_groups(_left_blocks(profile))


def _left_blocks(profile: StepProfile) -> Sequence[Block]:
    """Some of a step without a leak only replace what it found: those are none."""
    left = getattr(profile, "left_blocks", None) or ()
    return left if profile.left_after_step_bytes > 0 else ()


def _largest_groups(blocks: Iterable[Block]) -> list[TensorGroup]:
    groups = _grouped((each.category, each.label or UNNAMED, each.size) for each in blocks)
    groups.sort(key=lambda group: -group.bytes * group.times)
    return groups[:_GROUPS_OF_A_PROFILE]


def _allocated(profile: StepProfile) -> Metrics:
    """All that the step allocates in its course, whether or not it is alive at a peak."""
    events = getattr(profile, "allocations", None)
    if events is None:
        return {}
    made = events[events > 0]
    return {"allocated_bytes": int(made.sum()), "allocations": len(made)}


def _allocated_by_phase(profile: StepProfile) -> dict[str, Metrics]:
    """The same by innermost phase; nothing where the step has no phases to tell apart."""
    events, segments = (getattr(profile, name, None) for name in ("allocations", "segments"))
    if events is None or segments is None or len(profile.phases) < 2:
        return {}
    found: dict[str, Metrics] = {}
    ends = [*(start for start, _ in segments[1:]), len(events)]
    for (start, phase), end in zip(segments, ends, strict=True):
        made = events[start:end]
        made = made[made > 0]
        known = found.get(phase, {})
        for name, more in (("allocated_bytes", int(made.sum())), ("allocations", len(made))):
            known[name] = int(known.get(name, 0)) + more
        found[phase] = known
    return found


def places_of(profile: StepProfile) -> dict[str, list[str]]:
    """Module and line of the tensors that are listed, as far as they are known."""
    found: dict[str, list[str]] = {}
    alive = (each for phase in profile.phases.values() for each in phase.live_at_peak)
    for block in (*alive, *_left_blocks(profile)):
        place = " at ".join(filter(None, (block.module, block.line)))
        if place:
            known = found.setdefault(place_key(block.label or UNNAMED, block.size), [])
            if place not in known:
                known.append(place)
    return found


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
