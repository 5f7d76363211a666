"""Reading a run for the gate: whole, of one version, with the garbage collector held."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.reading import read_records
from trainfit.bench.records.schema import Record


def read_gated(run: Path) -> list[Record]:
    """All records of a run, in the order they were measured; a cut-off last line is ignored.

    Raises:
        RunFolderError: There is no run, it is empty, a line is not a record, or records of
            different versions are mixed.
    """
    with without_collection():
        records = read_records(run)
    if not records:
        raise RunFolderError(
            f"{run}: holds no records; measure some with: trainfit run SUITE --out DIR, "
            f"or go on with this one: trainfit run --resume --out {run}"
        )
    _refuse_versions(run, [record.schema_ for record in records])
    return records


def _refuse_versions(run: Path, versions: list[str]) -> None:
    found = sorted(set(versions))
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
