"""One row per workload: the frame ``records``, and which columns say whose row it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainfit.bench.records.schema import Bounds, Energy, Latency, Memory, Record, Workload

if TYPE_CHECKING:
    import pandas as pd

IDENTITY: Mapping[str, str] = {
    "algorithm": "str",
    "options": "str",
    "model": "str",
    "dataset": "str",
    "batch_size": "Int64",
    "seed": "Int64",
    "epochs": "Int64",
    "train_samples": "Int64",
    "held_out": "Int64",
    "search": "str",
    "standardise": "bool",
    "shuffle": "bool",
    "augment": "str",
    "pretrained": "str",
    "label": "str",
}
"""The columns of :func:`identity` and their types; ``options`` and ``search`` are compact JSON."""

RECORD: Mapping[str, str] = {
    "status": "str",
    "static_bytes": "Int64",
    "storage_bytes": "Int64",
    "peak_dynamic_bytes": "Int64",
    "peak_phase": "str",
    "predicted_bytes": "Int64",
    "device_bytes": "Int64",
    "arena_bytes": "Int64",
    "deterministic": "boolean",
    "worst_stage": "str",
    "stages": "Int64",
    "evidence": "str",
    "unexplained_bytes": "Int64",
    "left_after_step_bytes": "Int64",
    "as_deployed_peak_dynamic_bytes": "Int64",
    "step_seconds_median": "float64",
    "step_seconds_iqr": "float64",
    "step_seconds_low": "float64",
    "step_seconds_high": "float64",
    "steps": "Int64",
    "threads": "Int64",
    "energy_evidence": "str",
    "energy_sensor": "str",
    "joules_per_step": "float64",
    "joules_per_step_low": "float64",
    "joules_per_step_high": "float64",
    "idle_watts": "float64",
    "test_accuracy": "float64",
    "validation_accuracy": "float64",
    "balanced_accuracy": "float64",
    "passes": "Int64",
    "train_seconds": "float64",
    "seconds": "float64",
    "error": "str",
    "error_where": "str",
}
"""The columns of a record beside its identity; what was not measured is missing."""

_MEMORY = tuple(RECORD)[1:10]
_LATENCY = ("step_seconds_median", "step_seconds_iqr", "steps", "threads")


def records_frame(records: Iterable[tuple[str, Record]]) -> pd.DataFrame:
    """One row per record, in the order given; the columns are always the same.

    Columns: ``run``, :data:`IDENTITY`, :data:`RECORD`. Bytes are those of the worst stage; the
    figures of stages and phases are in the frame ``values``.

    Args:
        records: Each with the name of its run.
    """
    # Column by column: a dictionary per row of a large run would take gigabytes.
    types = {"run": "str", **IDENTITY, **RECORD}
    columns: dict[str, list[Any]] = {name: [] for name in types}
    for run, record in records:
        columns["run"].append(run)
        for name, value in record_row(record).items():
            columns[name].append(value)
    return typed(columns, types)


def typed(columns: Mapping[str, Sequence[Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """A frame whose columns have their types also where there is no row."""
    import pandas as pd  # noqa: PLC0415  (half a second that the command line does not need)

    return pd.DataFrame(
        {name: pd.Series(columns[name], dtype=kind) for name, kind in types.items()}
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
        "held_out": workload.held_out,
        "search": workload.tuned and workload.tuned.model_dump_json(),
        "standardise": workload.standardise,
        "shuffle": workload.shuffle,
        "augment": workload.augment and str(workload.augment),
        "pretrained": workload.pretrained and workload.pretrained.label,
        "label": workload.label,
    }


def record_row(record: Record) -> dict[str, Any]:
    """The row of one record: all columns but ``run``."""
    accuracy, error = record.accuracy, record.error
    return {
        **identity(record.workload),
        "status": record.status.value,
        **_memory(record.memory),
        **_latency(record.latency),
        **_energy(record.energy),
        "test_accuracy": accuracy.test_accuracy if accuracy else None,
        "validation_accuracy": accuracy.validation_accuracy if accuracy else None,
        "balanced_accuracy": accuracy.balanced_accuracy if accuracy else None,
        "passes": accuracy.epochs if accuracy else None,
        "train_seconds": accuracy.train_seconds if accuracy else None,
        "seconds": record.seconds,
        "error": f"{error.type}: {error.message}" if error else None,
        "error_where": error.where if error else None,
    }


def _memory(memory: Memory | None) -> dict[str, Any]:
    deployed = memory.as_deployed if memory else None
    return {
        **{name: getattr(memory, name, None) for name in _MEMORY},
        "stages": len(memory.stages) if memory else None,
        "evidence": memory.evidence.value if memory else None,
        "unexplained_bytes": memory.worst.residual.unexplained_bytes if memory else None,
        "left_after_step_bytes": memory.worst.residual.left_after_step_bytes if memory else None,
        "as_deployed_peak_dynamic_bytes": deployed.peak_dynamic_bytes if deployed else None,
    }


def _latency(latency: Latency | None) -> dict[str, Any]:
    return {
        **{name: getattr(latency, name, None) for name in _LATENCY},
        **ends("step_seconds", latency.step_interval if latency else None),
    }


def _energy(energy: Energy | None) -> dict[str, Any]:
    return {
        "energy_evidence": energy.evidence.value if energy else None,
        "energy_sensor": energy.sensor if energy else None,
        "joules_per_step": energy.joules_per_step if energy else None,
        **ends("joules_per_step", energy.joules_per_step_interval if energy else None),
        "idle_watts": energy.idle_watts if energy else None,
    }


def ends(name: str, interval: Bounds | None) -> dict[str, float | None]:
    """The columns of an interval; both missing where there is none."""
    return {
        f"{name}_low": interval.low if interval else None,
        f"{name}_high": interval.high if interval else None,
    }
