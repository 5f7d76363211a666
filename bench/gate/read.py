"""Reading a run for the gate: only what is gated, since the rest of a record is most of it.

Nine tenths of a record are models and verdicts of devices. They are skipped here, which makes a
thousand records a matter of half a second; :func:`trainfit.bench.records.reading.read_records`
reads all of it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.reading import RECORDS
from trainfit.bench.records.schema import (
    READABLE,
    ErrorRecord,
    Evidence,
    RecordStatus,
    StageMemory,
    StageOperations,
    Workload,
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class GatedMemory(_Part):
    """The part of a record's ``Memory`` that is gated; phases stand with the stages."""

    evidence: Evidence
    static_bytes: int
    storage_bytes: int
    peak_dynamic_bytes: int
    peak_phase: str
    closed_form_bytes: int
    lower_bound_bytes: int
    deterministic: bool
    worst_stage: str
    stages: list[StageMemory]


class GatedRecord(_Part):
    """The part of a record that the gate looks at."""

    schema_: str = Field(alias="schema")
    workload: Workload
    status: RecordStatus
    operations: list[StageOperations] = Field(default_factory=list)
    memory: GatedMemory | None = None
    error: ErrorRecord | None = None


def read_gated(run: Path) -> list[GatedRecord]:
    """All records of a run, in the order they were measured; a cut-off last line is ignored.

    Raises:
        RunFolderError: There is no run, it is empty, a line is not a record, or records of
            different versions are mixed.
    """
    file = run / RECORDS
    try:
        lines = file.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise RunFolderError(f"{run}: is not a run folder: no {RECORDS}") from error
    if not lines:
        raise RunFolderError(
            f"{run}: holds no records; measure some with: trainfit run SUITE --out DIR, "
            f"or go on with this one: trainfit run --resume --out {run}"
        )
    records = []
    with without_collection():
        for number, line in enumerate(lines, start=1):
            try:
                records.append(GatedRecord.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(step) for step in first["loc"])
                what = f"{where}: {first['msg']}" if where else first["msg"]
                raise RunFolderError(f"{file}:{number}: not a record: {what}") from None
    _refuse_versions(run, [record.schema_ for record in records])
    return records


def _refuse_versions(run: Path, versions: list[str]) -> None:
    found = sorted(set(versions))
    for version in found:
        if version not in READABLE:
            raise RunFolderError(
                f"{run}: record {versions.index(version) + 1} is of version {version!r}; "
                f"this trainfit reads {', '.join(READABLE)}"
            )
    if len(found) > 1:
        counted = ", ".join(f"{versions.count(version)} of {version}" for version in found)
        raise RunFolderError(
            f"{run}: mixes versions of records ({counted}); measure it anew in one go: "
            "trainfit run SUITE --out DIR"
        )


@contextmanager
def without_collection() -> Iterator[None]:
    """Hold the garbage collector inside the block.

    For many small objects that all stay: looking for cycles among them is half of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
