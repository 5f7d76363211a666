"""The trainings that come with trainfit, so that questions can be answered in any folder.

``kept/NAME/records.jsonl`` has, of the run of that name in the project's ``results/runs``, every
record with an accuracy: the workload, how it ended and the accuracy. What can be computed again
(bytes, operations) is left out. ``environment.json`` is that of the run. ``docs/scripts/kept.py``
writes the folder from the full records, and a test compares the two.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from trainfit.bench.records.reading import read_environment, runs_below
from trainfit.bench.records.schema import Record

FOLDER = "kept"

NAMED = "trainfit/"
"""Stands before the name of a run that came with trainfit."""


def kept_runs() -> list[Path]:
    """The run folders that come with trainfit; those of a zipped package cannot be read."""
    return runs_below(Path(str(files("trainfit.bench.sizing") / FOLDER)))


def torch_versions(runs: list[Path]) -> list[str]:
    """Which versions of torch made these runs."""
    versions = [read_environment(run).get("versions", {}).get("torch") for run in runs]
    return sorted({str(version) for version in versions if version is not None})


def reduced(record: Record) -> Record:
    """What is kept of a record that has an accuracy."""
    return Record(
        workload=record.workload,
        status=record.status,
        accuracy=record.accuracy,
        error=record.error,
        seconds=record.seconds,
    )
