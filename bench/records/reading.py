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
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from trainfit._files import (
    FileError,
    NoFileError,
    is_file,
    parse_json,
    read_lines,
    read_text,
    refuse_excess,
)
from trainfit._limits import LARGEST_DOCUMENT
from trainfit._schema_errors import explain
from trainfit._text import printable, shortened, shown
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.schema import READABLE, SCHEMA, Record, Workload
from trainfit.bench.records.schema.base import FROM_FILE
from trainfit.bench.records.schema.older import upgraded

RECORDS = "records.jsonl"
SUITE = "suite.json"
ENVIRONMENT = "environment.json"
LOGS = "logs"
STATE = "state"
BEGINNING = "before-"
"""How the file of a net begins, in that folder, that several trainings start from."""
DEVICES = "devices"

_PRESENT = f'{{"schema":"{SCHEMA}"'.encode()
"""How a line of the present version begins: read at once, without a dictionary between."""


_LONG = re.compile(rb"[0-9]{19}")
"""Digits that may be more than the largest number."""


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
        own = [folder] if is_file(folder / RECORDS) else runs_below(folder)
        if not own:
            raise RunFolderError(
                f"--from {folder}: is neither a run folder nor a folder of them, there is no"
                f" {RECORDS}; give one that trainfit run has written"
            )
        found += own
    return list(dict.fromkeys(found))


def runs_below(*folders: str | Path) -> list[Path]:
    """The run folders in these folders, sorted; none where there are none."""
    found: list[Path] = []
    for folder in folders:
        with suppress(OSError, ValueError):  # a name that no folder can have
            found += [path.parent for path in Path(folder).glob(f"*/{RECORDS}")]
    return sorted(found)


def run_name(path: Path) -> str:
    """The name of a run in tables: that of its folder, which may hold bytes that are no text."""
    with suppress(OSError):  # the current folder is gone
        path = Path(os.path.realpath(path))
    return printable(path.name)


def iter_records(path: Path) -> Iterator[Record]:
    """The records of a run one after the other, in the order they were measured.

    Args:
        path: The run folder.

    Raises:
        RunFolderError: There is no run, or a finished line is not a record.
    """
    file = path / RECORDS
    try:
        for number, line in enumerate(read_lines(file), start=1):
            try:
                yield parse_record(line)
            except (ValidationError, FileError) as error:
                what = str(error)
                if isinstance(error, ValidationError):
                    what = line_problem(error, line, Record)
                raise RunFolderError(
                    f"{file}:{number}: not a record of this version: {what}"
                ) from None
    except NoFileError:
        raise RunFolderError(f"{path}: is not a run folder: no {RECORDS}") from None
    except FileError as problem:
        raise RunFolderError(f"{file}: {problem}") from None


def parse_record(line: bytes) -> Record:
    """A record from its line, of any version that can be read.

    Raises:
        ValidationError: It is not a record.
        FileError: It has numbers beyond the limits.
    """
    refuse_long_numbers(line)
    if not line.startswith(_PRESENT):
        try:
            raw = from_json(line)
        except ValueError:
            raw = None  # pydantic says below where it is no JSON
        if isinstance(raw, dict):
            schema = raw.get("schema")
            if schema in READABLE[:-1]:
                return Record.model_validate_json(
                    to_json(upgraded(raw)), strict=True, context=FROM_FILE
                )
            if schema is None:  # a class has the present version by itself, a line says its own
                return Record.model_validate_json(
                    to_json(raw | {"schema": None}), strict=True, context=FROM_FILE
                )
    return Record.model_validate_json(line, strict=True, context=FROM_FILE)


def refuse_long_numbers(line: bytes) -> None:
    """Refuse a line with numbers beyond the limits, which no table could hold.

    Raises:
        FileError: Where the first one is.
    """
    if _LONG.search(line):  # seldom: so that every value is looked at where it is worth it
        with suppress(ValueError):  # no JSON: whoever reads it says so
            refuse_excess(from_json(line))


def line_problem(error: ValidationError, line: bytes, schema: type[BaseModel]) -> str:
    """What is wrong with a line: place, what, and what would be right."""
    try:
        raw = from_json(line)
    except ValueError as broken:
        return f"not valid JSON: {shortened(str(broken))}; remove that line"
    if not isinstance(raw, dict):
        return f"must be a JSON object, got {shown(raw)}"
    if schema is Record and raw.get("schema") not in READABLE:
        return f"schema: must be one of {', '.join(READABLE)}, got {shown(raw.get('schema'))}"
    return explain(error, raw, schema)


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
    """What produced a run; what is known of versions, machine and git are tables, if anything."""
    found = _read_json(path / ENVIRONMENT)
    for name in ("versions", "machine", "git"):
        if not isinstance(found.get(name), dict | NoneType):
            what = f"{name}: must be a table, got {shown(found[name])}"
            raise RunFolderError(f"{path / ENVIRONMENT}: {what}")
    return found


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = parse_json(read_text(file, LARGEST_DOCUMENT))
    except NoFileError:
        raise RunFolderError(f"{file.parent}: is not a run folder: no {file.name}") from None
    except FileError as problem:
        raise RunFolderError(f"{file}: {problem}") from None
    if not isinstance(found, dict):
        raise RunFolderError(f"{file}: must hold a JSON object")
    return found
