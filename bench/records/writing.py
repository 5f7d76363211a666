"""Writing a run folder, so that whatever ends the run, each record is there whole or not at all.

A record is one line, written by one call and flushed to the disk.
:mod:`trainfit.bench.records.reading` says what is in the folder, and reads it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trainfit.bench.environment import SAME_ON_RESUME
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.reading import (
    ENVIRONMENT,
    RECORDS,
    SUITE,
    profile_of,
    read_environment,
    read_suite,
)
from trainfit.bench.records.schema import Record


class RunFolder:
    """A run folder that is being written; one writer at a time.

    Make one with :meth:`create` or :meth:`reopen` and close it, or use it in a ``with`` block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path / RECORDS, flags)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise RunFolderError(f"{path}: another run is writing to this folder") from error

    @classmethod
    def create(cls, path: Path, suite: dict[str, Any], environment: dict[str, Any]) -> Self:
        """Start a run; the folder appears whole or not at all.

        Raises:
            RunFolderError: There is something at ``path``, or it cannot be written.
        """
        refuse_existing(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix=f".{path.name}.", dir=path.parent, ignore_cleanup_errors=True
            ) as scratch:
                built = Path(scratch) / "run"
                built.mkdir()
                _write_json(built / SUITE, suite)
                _write_json(built / ENVIRONMENT, environment)
                (built / RECORDS).touch()
                built.rename(path)
            _sync(path.parent)
        except OSError as error:
            raise RunFolderError(f"cannot write run folder {path}: {error.strerror}") from error
        return cls(path)

    @classmethod
    def reopen(cls, path: Path, suite: dict[str, Any], environment: dict[str, Any]) -> Self:
        """Go on with a run that was cut off.

        Raises:
            RunFolderError: There is no run at ``path``, or it was made by another suite or by
                other versions of torch or trainfit, so that its figures could differ.
        """
        _refuse_difference(path, read_suite(path), suite)
        first = read_environment(path)
        for name in SAME_ON_RESUME:
            then, now = first["versions"].get(name), environment["versions"].get(name)
            if then != now:
                raise RunFolderError(
                    f"{path}: was made with {name} {then}, this is {now}; "
                    "go on with that version, or start a new run"
                )
        folder = cls(path)
        folder._cut_unfinished()
        _write_json(
            path / ENVIRONMENT, {**first, "resumed": [*first.get("resumed", []), environment]}
        )
        return folder

    def append(self, record: Record) -> None:
        """Add a record; when this returns it is on the disk.

        Raises:
            RunFolderError: It could not be written whole; what was written of it is taken back.
        """
        self._append_line(self._descriptor, record.model_dump_json(by_alias=True))

    def append_beside(self, name: str, line: str) -> None:
        """Add a line of JSON to a file beside the records, which need not exist; else as above.

        Args:
            name: The file's name, such as ``timelines.jsonl``.
            line: The JSON, without a newline.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path / name, flags, 0o644)
        except OSError as error:
            raise RunFolderError(f"{self.path / name}: cannot write: {error.strerror}") from error
        try:
            self._append_line(descriptor, line)
        finally:
            os.close(descriptor)

    def keep_profile(self, device: str, file: Path) -> None:
        """Keep the profile of a device that was given by file, so that it is judged elsewhere too.

        Raises:
            RunFolderError: It cannot be copied.
        """
        copy = profile_of(self.path, device)
        try:
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)
        except OSError as error:
            raise RunFolderError(f"{copy}: cannot write: {error.strerror}") from error

    def _append_line(self, descriptor: int, text: str) -> None:
        line = text.encode() + b"\n"
        before = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
            os.fsync(descriptor)
        except OSError as error:
            _cut(descriptor, before)
            raise RunFolderError(f"{self.path}: cannot write: {error.strerror}") from error
        if written != len(line):
            _cut(descriptor, before)
            raise RunFolderError(f"{self.path}: cannot write a whole record; is the disk full?")

    def _cut_unfinished(self) -> None:
        """Take back what was being written when a run ended, here and in files beside."""
        for file in self.path.glob("*.jsonl"):
            whole = file.read_bytes().rfind(b"\n") + 1
            os.truncate(file, whole)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _cut(descriptor: int, size: int) -> None:
    with suppress(OSError):
        os.ftruncate(descriptor, size)


def refuse_existing(path: Path) -> None:
    """Raise unless a run can be started at ``path``: nothing there, or an empty folder.

    Raises:
        RunFolderError: Something is there.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        advice = "give another --out, or --resume to go on with it"
        raise RunFolderError(f"{path}: exists already, nothing was overwritten; {advice}")


def _refuse_difference(path: Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    for key in sorted({*then, *now}):
        if _what_counts(then.get(key)) != _what_counts(now.get(key)):
            before, after = _brief(then.get(key)), _brief(now.get(key))
            if before == after:
                after = "another with the same name"
            raise RunFolderError(
                f"{path}: was made by another suite: {key} was {before}, is now {after}; "
                "go on with the same suite, or start a new run"
            )


def _what_counts(value: Any) -> Any:
    """Where a device file lies may change between two starts; what it says may not."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        return value
    return [{k: v for k, v in each.items() if k != "source"} for each in value]


def _brief(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = [each.get("name") or each.get("algorithm") for each in value]
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _write_json(file: Path, content: dict[str, Any]) -> None:
    """Replace a file as a whole."""
    scratch = file.with_name(f".{file.name}")
    with scratch.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content, indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    scratch.rename(file)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
