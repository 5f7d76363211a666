"""A run as one tidy pandas frame: the only thing that plots, tables and gates see."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trainfit.bench.records.schema import (
    Accuracy,
    Bounds,
    DeviceModel,
    Energy,
    Latency,
    Memory,
    Record,
    Workload,
)

if TYPE_CHECKING:
    import pandas as pd

WHOLE = (
    "_bytes",
    "batch_size",
    "seed",
    "epochs",
    "passes",
    "stages",
    "steps",
    "threads",
    "train_samples",
)
"""Columns that end so hold whole numbers, as pandas' nullable ``Int64``."""

UNITS = {"B": "bytes", "s": "seconds", "J": "joules"}
"""What a margin's column ends with."""

MACS = ".macs."
"""What stands between a phase and a number format in the columns of multiply-accumulates."""


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per record, in the order given.

    Columns: ``algorithm``, ``options`` (compact JSON), ``model``, ``dataset``, ``batch_size``,
    ``seed``, ``epochs``, ``train_samples``, ``standardise``, ``shuffle``, ``label``, ``status``,
    ``phase.<phase>.macs.<format>`` of the stage that is worst for memory, the bytes of
    :class:`~trainfit.bench.records.schema.Memory`,
    ``phase.<phase>.peak_bytes``, ``.closed_form_bytes`` and ``.lower_bound_bytes``, ``stages`` (how
    many the algorithm has), ``peak.<category>_bytes``,
    ``step_seconds_median``, ``_iqr``, ``_low`` and ``_high``, ``phase.<phase>.seconds_median`` and
    ends, ``joules_per_step``, its ends and ``phase.<phase>.joules``, ``energy_evidence``,
    ``modelled.<device>.seconds_low`` and ``_high``, ``modelled.<device>.joules_low`` and ``_high``,
    ``test_accuracy``, ``train_seconds``, ``verdict.<device>.<budget>``,
    ``evidence.<device>.<budget>``, ``margin.<device>.<budget>_bytes`` (``_seconds``, ``_joules``),
    ``error`` and ``error_where``. Bytes are nullable integers; what was not measured is missing.
    """
    import pandas as pd  # noqa: PLC0415  (half a second that the command line does not need)

    # Column by column: a dictionary per row of a large run would take gigabytes.
    columns: dict[str, list[Any]] = {}
    rows = 0
    for record in records:
        for name, value in flatten(record).items():
            column = columns.setdefault(name, [])
            column.extend([None] * (rows - len(column)))
            column.append(value)
        rows += 1
    for column in columns.values():
        column.extend([None] * (rows - len(column)))
    return pd.DataFrame(
        {
            name: pd.array(values, dtype="Int64")
            if name.endswith(WHOLE) or MACS in name
            else values
            for name, values in columns.items()
        }
    )


def identity(workload: Workload) -> dict[str, Any]:
    """The columns that say which workload a row is of."""
    return {
        "algorithm": workload.algorithm,
        "options": json.dumps(workload.options, sort_keys=True, separators=(",", ":")),
        "model": workload.model,
        "dataset": workload.dataset,
        "batch_size": workload.batch_size,
        "seed": workload.seed,
        "epochs": workload.epochs,
        "train_samples": workload.train_samples,
        "standardise": workload.standardise,
        "shuffle": workload.shuffle,
        "label": workload.label,
    }


def flatten(record: Record) -> dict[str, Any]:
    """The row of one record."""
    workload, error = record.workload, record.error
    row: dict[str, Any] = {
        **identity(workload),
        "status": record.status.value,
        **_memory(record.memory),
        **_operations(record),
        **_latency(record.latency),
        **_energy(record.energy),
        **_modelled(record.devices),
        **_accuracy(record.accuracy),
    }
    for verdict in record.verdicts:
        row[f"verdict.{verdict.device}.{verdict.budget}"] = verdict.status
        row[f"evidence.{verdict.device}.{verdict.budget}"] = verdict.evidence.value
        row[f"margin.{verdict.device}.{verdict.budget}_{UNITS[verdict.unit]}"] = verdict.margin
    row["seconds"] = record.seconds
    row["error"] = f"{error.type}: {error.message}" if error else None
    row["error_where"] = error.where if error else None
    return row


def _memory(memory: Memory | None) -> dict[str, Any]:
    names = (
        "static_bytes",
        "storage_bytes",
        "peak_dynamic_bytes",
        "peak_phase",
        "closed_form_bytes",
        "lower_bound_bytes",
        "deterministic",
        "worst_stage",
    )
    row: dict[str, Any] = {name: getattr(memory, name, None) for name in names}
    row["stages"] = len(memory.stages) if memory else None
    row["evidence"] = memory.evidence.value if memory else None
    row["unexplained_bytes"] = memory.residual.unexplained_bytes if memory else None
    row["left_after_step_bytes"] = memory.residual.left_after_step_bytes if memory else None
    deployed = memory.as_deployed if memory else None
    row["as_deployed_peak_dynamic_bytes"] = deployed.peak_dynamic_bytes if deployed else None
    for name, phase in memory.phases.items() if memory else ():
        row[f"phase.{name}.peak_bytes"] = phase.peak_bytes
        row[f"phase.{name}.closed_form_bytes"] = phase.closed_form_bytes
        row[f"phase.{name}.lower_bound_bytes"] = phase.lower_bound_bytes
    if memory and memory.peak_phase in memory.phases:
        categories = memory.phases[memory.peak_phase].categories
        row |= {f"peak.{category}_bytes": size for category, size in categories.items()}
    return row


def _operations(record: Record) -> dict[str, Any]:
    worst = record.memory.worst_stage if record.memory else None
    return {
        f"phase.{name}{MACS}{number_format}": count
        for stage in record.operations
        if stage.stage == worst
        for name, phase in stage.phases.items()
        for number_format, count in phase.macs.items()
    }


def _latency(latency: Latency | None) -> dict[str, Any]:
    names = ("step_seconds_median", "step_seconds_iqr", "steps", "threads")
    row: dict[str, Any] = {name: getattr(latency, name, None) for name in names}
    row |= ends("step_seconds", latency.step_interval if latency else None)
    for name, phase in latency.phases.items() if latency else ():
        row[f"phase.{name}.seconds_median"] = phase.seconds_median
        row |= ends(f"phase.{name}.seconds", phase.interval)
    return row


def _energy(energy: Energy | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "energy_evidence": energy.evidence.value if energy else None,
        "energy_sensor": energy.sensor if energy else None,
        "joules_per_step": energy.joules_per_step if energy else None,
        **ends("joules_per_step", energy.joules_per_step_interval if energy else None),
        "idle_watts": energy.idle_watts if energy else None,
    }
    for name, phase in energy.phases.items() if energy else ():
        row[f"phase.{name}.joules"] = phase.joules
    return row


def _modelled(devices: Iterable[DeviceModel]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for model in devices:
        row |= ends(f"modelled.{model.device}.seconds", model.latency.step)
        row |= ends(f"modelled.{model.device}.joules", model.energy.step)
    return row


def ends(name: str, interval: Bounds | None) -> dict[str, float | None]:
    """The columns of an interval; both missing where there is none."""
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any]:
    return {
        "test_accuracy": accuracy.test_accuracy if accuracy else None,
        "passes": accuracy.epochs if accuracy else None,
        "train_seconds": accuracy.train_seconds if accuracy else None,
    }
