"""The figures of every stage and phase of a workload: the frame ``values``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from trainfit.bench.frames.long import columns_of, long_frame
from trainfit.bench.records.schema import Record, StageMemory, StageOperations

if TYPE_CHECKING:
    import pandas as pd

VALUES = {
    "stage": "category",
    "phase": "category",
    "quantity": "category",
    "part": "category",
    "value": "float64",
}

BYTES = ("peak_bytes", "entry_bytes", "exit_bytes", "predicted_bytes", "device_bytes")

Row = tuple[str | None, str, str, str | None, float | None]
"""Stage, phase, quantity, part, value."""


def values_frame(records: Iterable[tuple[str, Record]]) -> pd.DataFrame:
    """One row per workload, stage, phase, quantity and part of it.

    Columns: ``run``, those of the workload's identity, then :data:`VALUES`. Quantities:
    :data:`BYTES` and ``category_bytes`` (``part`` is the category) of the peak of a phase;
    ``macs`` (``part`` is the number format); ``seconds_median``, ``seconds_low``,
    ``seconds_high`` and ``joules`` per step, which are measured at one stage. Whole numbers are
    exact up to 2^53. What was not measured has no row.

    Args:
        records: Each with the name of its run.
    """
    return long_frame(
        ((run, record.workload, columns_of(value_rows(record), VALUES)) for run, record in records),
        VALUES,
    )


def value_rows(record: Record) -> Iterator[Row]:
    """Rows of :data:`VALUES`."""
    for row in _all(record):
        if row[-1] is not None:
            yield row


def _all(record: Record) -> Iterator[Row]:
    for stage in record.memory.stages if record.memory else ():
        yield from _bytes(stage)
    for counted in record.operations:
        yield from _arithmetic(counted)
    measured_at = _measured_stage(record)
    for name, phase in record.latency.phases.items() if record.latency else ():
        yield measured_at, name, "seconds_median", None, phase.seconds_median
        if phase.interval:
            yield measured_at, name, "seconds_low", None, phase.interval.low
            yield measured_at, name, "seconds_high", None, phase.interval.high
    for name, energy in record.energy.phases.items() if record.energy else ():
        yield measured_at, name, "joules", None, energy.joules


def _bytes(stage: StageMemory) -> Iterator[Row]:
    for name, phase in stage.phases.items():
        for quantity in BYTES:
            yield stage.stage, name, quantity, None, getattr(phase, quantity)
        for category, size in phase.categories.items():
            yield stage.stage, name, "category_bytes", category, size


def _arithmetic(counted: StageOperations) -> Iterator[Row]:
    for name, phase in counted.phases.items():
        for number_format, count in phase.macs.items():
            yield counted.stage, name, "macs", number_format, count


def _measured_stage(record: Record) -> str | None:
    """Where time and energy are measured: the worst stage for memory, or the first one."""
    if record.memory:
        return record.memory.worst_stage
    return record.operations[0].stage if record.operations else None
