"""Reading a run folder: one JSON line per workload, its suite, and what produced it.

::

    DIR/suite.json         the suite, every default filled in
    DIR/environment.json   versions, machine, revision of the code
    DIR/records.jsonl      one line per workload
    DIR/timelines.jsonl    how memory came and went in a step of it
    DIR/logs/03.log        what the third workload wrote to stdout and stderr, if anything
    DIR/state/03.pt        how far its training has come, while it runs
    DIR/devices/ours.toml  the profile of a device that was given by file

:mod:`trainfit.bench.records.writing` writes it. A last line without its end is a record that was
cut off, and is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from trainfit._text import first_problem
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.schema import READABLE, SCHEMA, Record, Workload
from trainfit.bench.records.schema.older import upgraded

RECORDS = "records.jsonl"
SUITE = "suite.json"
ENVIRONMENT = "environment.json"
LOGS = "logs"
STATE = "state"
DEVICES = "devices"

_PRESENT = f'{{"schema":"{SCHEMA}"'.encode()
"""How a line of the present version begins: read at once, without a dictionary between."""


def workload_key(workload: Workload) -> str:
    """What makes two workloads the same one."""
    return json.dumps(workload.model_dump(mode="json"), sort_keys=True)


def run_folders(given: Sequence[Path]) -> list[Path]:
    """The run folders that ``--from`` means, each given as itself or by the folder that it is in.

    Raises:
        RunFolderError: One is neither a run folder nor a folder of them.
    """
    found: list[Path] = []
    for folder in given:
        own = [folder] if (folder / RECORDS).is_file() else runs_below(folder)
        if not own:
            raise RunFolderError(
                f"--from {folder}: is neither a run folder nor a folder of them, there is no"
                f" {RECORDS}; give one that trainfit run has written"
            )
        found += own
    return list(dict.fromkeys(found))


def runs_below(*folders: str | Path) -> list[Path]:
    """The run folders in these folders, sorted; none where there are none."""
    return sorted(path.parent for folder in folders for path in Path(folder).glob(f"*/{RECORDS}"))


def iter_records(path: Path) -> Iterator[Record]:
    """The records of a run one after the other, in the order they were measured.

    Args:
        path: The run folder.

    Raises:
        RunFolderError: There is no run, or a finished line is not a record.
    """
    file = path / RECORDS
    try:
        stream = file.open("rb")
    except OSError as error:
        raise RunFolderError(f"{path}: is not a run folder: no {RECORDS}") from error
    with stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return  # unfinished
            try:
                yield parse_record(line)
            except ValidationError as error:
                raise RunFolderError(
                    f"{file}:{number}: not a record of this version: {first_problem(error)}"
                ) from None


def parse_record(line: bytes) -> Record:
    """A record from its line, of any version that can be read.

    Raises:
        ValidationError: It is not a record.
    """
    if not line.startswith(_PRESENT):
        try:
            raw = from_json(line)
        except ValueError:
            raw = None  # pydantic says below where it is no JSON
        if isinstance(raw, dict) and raw.get("schema") in READABLE[:-1]:
            return Record.model_validate(upgraded(raw))
    return Record.model_validate_json(line)


def read_records(path: Path) -> list[Record]:
    """All records of a run; see :func:`iter_records`."""
    return list(iter_records(path))


def read_suite(path: Path) -> dict[str, Any]:
    """The suite that made a run."""
    return _read_json(path / SUITE)


def profile_of(run: Path, device: str) -> Path:
    """Where a run keeps the profile of a device that was given by file."""
    return run / DEVICES / f"{device}.toml"


def read_environment(path: Path) -> dict[str, Any]:
    """What produced a run."""
    return _read_json(path / ENVIRONMENT)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise RunFolderError(f"{file.parent}: is not a run folder: no {file.name}") from error
    except ValueError as error:
        raise RunFolderError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{file}: must hold a JSON object")
    return found
