"""From a record to the figures that are the same on every machine.

Of a workload, of each of its stages and of each phase of a stage: bytes as measured and in closed
form, their categories, and the arithmetic. Times, energies, verdicts and the peak *as deployed* are
left out. The parts of a sum have a dot in their name (``category.gradients_bytes``,
``macs.fp32``); one that is not there is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from trainfit.bench.gate.golden import Entry, Figures, Place, TensorGroup
from trainfit.bench.gate.rules import WORKLOAD
from trainfit.bench.records.schema import (
    Memory,
    PhaseMemory,
    PhaseOperations,
    StageMemory,
    StageOperations,
    TensorBytes,
    Workload,
)

_WHOLE = (
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "peak_phase",
    "closed_form_bytes",
    "lower_bound_bytes",
    "worst_stage",
)
_STAGE = (
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "peak_phase",
    "closed_form_bytes",
    "closed_form_static_bytes",
    "lower_bound_bytes",
)
_MOST_GROUPS = 20

_PHASE = ("peak_bytes", "entry_bytes", "exit_bytes", "closed_form_bytes", "lower_bound_bytes")


def key_of(workload: Workload) -> str:
    """The name of a workload in a golden: all of it that its bytes depend on.

    That is algorithm, options, model, data set, batch size and what is done to the data; not the
    number of passes, nor how often accuracy is taken.
    """
    seed = f" seed={workload.seed}" if workload.seed else ""
    order = "" if workload.shuffle else " unshuffled"
    return workload.label + seed + order


def entry_of_record(memory: Memory, operations: list[StageOperations]) -> Entry:
    """Every deterministic figure of a record, and what was alive at the peak of every stage."""
    figures: Figures = {WORKLOAD: _known(memory, _WHOLE)}
    for stage in memory.stages:
        figures[stage.stage] = _stage(stage)
        for name, phase in stage.phases.items():
            figures[f"{stage.stage}/{name}"] = _phase(phase)
    for counted in operations:
        for name, tally in counted.phases.items():
            figures.setdefault(f"{counted.stage}/{name}", {}).update(_arithmetic(tally))
    tensors = {
        place: groups for stage in memory.stages for place, groups in _itemised(stage).items()
    }
    return Entry.model_construct(figures=figures, tensors=tensors)  # from what is checked already


def grouped(tensors: Sequence[TensorBytes]) -> list[TensorGroup]:
    """Tensors that are alike together, in their order; what is small change is left out."""
    groups: dict[tuple[str, str, int], int] = {}
    for tensor in tensors:
        alike = (tensor.category, tensor.name, tensor.bytes)
        groups[alike] = groups.get(alike, 0) + 1
    return [TensorGroup(*alike, count) for alike, count in groups.items()][:_MOST_GROUPS]


def _itemised(stage: StageMemory) -> dict[str, list[TensorGroup]]:
    """What is alive at the peak of every phase, or of the stage where phases do not say.

    A phase that is refined by others is left out: its peak is that of one of them.
    """
    found = {
        f"{stage.stage}/{name}": grouped(phase.peak_tensors)
        for name, phase in stage.phases.items()
        if phase.peak_tensors and not any(other.startswith(f"{name}.") for other in stage.phases)
    }
    return found or {stage.stage: grouped(stage.peak_tensors)}


def _stage(stage: StageMemory) -> Place:
    metrics = _known(stage, _STAGE)
    metrics["left_after_step_bytes"] = stage.residual.left_after_step_bytes
    for category, size in sorted(stage.static_categories.items()):
        metrics[f"static.{category}_bytes"] = size
    return metrics


def _phase(phase: PhaseMemory) -> Place:
    metrics = _known(phase, _PHASE)
    for category, size in sorted(phase.categories.items()):
        metrics[f"category.{category}_bytes"] = size
    return metrics


def _arithmetic(tally: PhaseOperations) -> Place:
    metrics = _prefixed("macs", tally.macs)
    for number_format, kinds in sorted(tally.elementwise.items()):
        metrics |= _prefixed(f"elementwise.{number_format}", kinds)
    return metrics | _prefixed("calls", tally.calls)


def _prefixed(prefix: str, tally: Mapping[str, int]) -> Place:
    return {f"{prefix}.{name}": count for name, count in sorted(tally.items()) if count}


def _known(block: BaseModel, names: tuple[str, ...]) -> Place:
    """The fields that are known; one that is not has no place among expectations."""
    values = ((name, getattr(block, name)) for name in names)
    return {name: value for name, value in values if value is not None}
