"""What is computed on reading: the frames ``costs`` and ``verdicts``.

Tables of devices change more often than measurements, so records hold neither. Both are made from
the record and the device tables of today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainfit.bench.costs.intervals import Modelled
from trainfit.bench.frames.long import columns_of, long_frame
from trainfit.bench.records.reading import iter_records, run_name
from trainfit.bench.records.schema import Bounds, Evidence, Record
from trainfit.bench.verdicts.judges import Judges, judges_of

if TYPE_CHECKING:
    import pandas as pd

COSTS = {
    "device": "category",
    "quantity": "category",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "evidence": "category",
    "reason": "category",
}

VERDICTS = {
    "device": "category",
    "budget": "category",
    "status": "category",
    "margin": "float64",
    "unit": "category",
    "evidence": "category",
    "judged_by": "category",
    "reason": "str",
}

Cost = tuple[str | None, str, float | None, float | None, float | None, str, str | None]
"""Device, quantity, value, low, high, evidence, reason."""


def costs_frame(runs: Sequence[Path]) -> pd.DataFrame:
    """Seconds and joules of a step: as measured on this machine, and as modelled for devices.

    Columns: ``run``, those of the workload's identity, then :data:`COSTS`. ``device`` is missing
    for this machine, where ``value`` is the median or mean and ``evidence`` is ``clock`` or
    ``sensor``. For a device it is ``modelled``: an interval without a ``value``. What is
    ``unavailable`` has a ``reason`` and no figure; what was not measured has no row.

    Raises:
        RunFolderError: One of ``runs`` is not a run folder or holds a damaged record.
    """
    return long_frame(
        (
            (run, record.workload, columns_of(cost_rows(record, judges), COSTS))
            for run, record, judges in _judged(runs)
        ),
        COSTS,
    )


def verdicts_frame(runs: Sequence[Path]) -> pd.DataFrame:
    """One row per workload, device of its suite and budget that is limited.

    Columns: ``run``, those of the workload's identity, then :data:`VERDICTS`, the fields of
    :class:`~trainfit.bench.verdicts.memory.Verdict`. ``judged_by`` says which RAM was judged:
    ``arena`` is static bytes and a planned arena, ``torch`` static bytes and torch's peak.

    Raises:
        RunFolderError: One of ``runs`` is not a run folder or holds a damaged record.
    """
    return long_frame(
        (
            (run, record.workload, columns_of(verdict_rows(record, judges), VERDICTS))
            for run, record, judges in _judged(runs)
        ),
        VERDICTS,
    )


def _judged(runs: Iterable[Path]) -> Iterator[tuple[str, Record, Judges]]:
    for run in runs:
        name, judges = run_name(run), judges_of(run)
        for record in iter_records(run):
            yield name, record, judges


def cost_rows(record: Record, judges: Judges) -> Iterator[Cost]:
    """Rows of :data:`COSTS`: measured here first, then modelled for every device."""
    latency, energy = record.latency, record.energy
    if latency:
        ends = _ends(latency.step_interval)
        evidence, reason = latency.evidence.value, latency.reason
        yield None, "seconds", latency.step_seconds_median, *ends, evidence, reason
    if energy:
        ends = _ends(energy.joules_per_step_interval)
        evidence, reason = energy.evidence.value, energy.reason
        yield None, "joules", energy.joules_per_step, *ends, evidence, reason
    for model in judges.models(record):
        yield _modelled(model.device, "seconds", model.latency)
        yield _modelled(model.device, "joules", model.energy)


def _modelled(device: str, quantity: str, figure: Modelled) -> Cost:
    return device, quantity, None, *_ends(figure.step), figure.evidence.value, figure.reason


def _ends(interval: Bounds | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def verdict_rows(record: Record, judges: Judges) -> Iterator[tuple[object, ...]]:
    """Rows of :data:`VERDICTS`."""
    for verdict in judges.verdicts(record):
        fields = {**vars(verdict), "status": verdict.status.value}
        fields["evidence"] = Evidence(verdict.evidence).value
        fields["judged_by"] = verdict.judged_by and verdict.judged_by.value
        yield tuple(fields[name] for name in VERDICTS)
