"""Writing a run folder, so that whatever ends the run, each record is there whole or not at all.

A record is one line, written by one call and flushed to the disk.
:mod:`trainfit.bench.records.reading` says what is in the folder, and reads it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trainfit.bench.environment import SAME_ON_RESUME
from trainfit.bench.errors import RunFolderError
from trainfit.bench.records.own_files import (
    open_own,
    refusals,
    replace_whole,
    require_own_file,
    require_own_folder,
    sync_folder,
)
from trainfit.bench.records.reading import (
    BEGINNING,
    DEVICES,
    ENVIRONMENT,
    LOGS,
    RECORDS,
    STATE,
    SUITE,
    profile_of,
    read_environment,
    read_suite,
)
from trainfit.bench.records.schema import Record
from trainfit.bench.records.timelines import TIMELINES

_PIECE = 2**16


class RunFolder:
    """A run folder that is being written; one writer at a time.

    Make one with :meth:`create` or :meth:`reopen` and close it, or use it in a ``with`` block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_own(path / RECORDS, os.O_RDWR | os.O_APPEND)
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
        made = [folder for folder in path.parents if not folder.exists()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix=f".{path.name}.", dir=path.parent, ignore_cleanup_errors=True
            ) as scratch:
                built = Path(scratch) / "run"
                built.mkdir()
                replace_whole(built / SUITE, _json(suite))
                replace_whole(built / ENVIRONMENT, _json(environment))
                (built / RECORDS).touch()
                built.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            for folder in made:  # the innermost first
                with suppress(OSError):
                    folder.rmdir()
            raise RunFolderError(f"cannot write run folder {path}: {error.strerror}") from error
        return cls(path)

    @classmethod
    def reopen(cls, path: Path, suite: dict[str, Any], environment: dict[str, Any]) -> Self:
        """Go on with a run that was cut off.

        Raises:
            RunFolderError: There is no run at ``path``, or it was made by another suite or by
                other versions of torch or trainfit, so that its figures could differ.
        """
        first = check_run(path)
        _refuse_difference(path, read_suite(path), suite)
        for name in SAME_ON_RESUME:
            then, now = first["versions"].get(name), environment["versions"].get(name)
            if then != now:
                raise RunFolderError(
                    f"{path}: was made with {name} {then}, this is {now}; "
                    "go on with that version, or start a new run"
                )
        folder = cls(path)
        try:
            folder._cut_unfinished()
            resumed = [*first.get("resumed", []), environment]
            with refusals(path):
                replace_whole(path / ENVIRONMENT, _json({**first, "resumed": resumed}))
        except BaseException:
            folder.close()
            raise
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
        descriptor = open_own(self.path / name, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            self._append_line(descriptor, line)
        finally:
            os.close(descriptor)

    def keep_profile(self, device: str, profile: bytes) -> None:
        """Keep the profile of a device that was given by file, so that it is judged elsewhere too.

        Raises:
            RunFolderError: It cannot be written.
        """
        copy = profile_of(self.path, device)
        self._folder(DEVICES)
        with refusals(copy):
            replace_whole(copy, profile)

    def log_file(self, number: int) -> Path:
        """Where the output of a workload goes; that of an earlier attempt is gone.

        Raises:
            RunFolderError: It cannot be written there.
        """
        log = self._folder(LOGS) / f"{number:02d}.log"
        with refusals(log):
            log.unlink(missing_ok=True)
            os.close(open_own(log, os.O_WRONLY | os.O_CREAT))
        return log

    def state_file(self, number: int) -> Path:
        """Where a training is kept; the file need not be there.

        Raises:
            RunFolderError: It cannot be written there.
        """
        return self._folder(STATE) / f"{number:02d}.pt"

    def tidy(self, log: Path) -> None:
        """Take away a log in which nothing is, and folders in which nothing is left."""
        with suppress(OSError):
            if not log.lstat().st_size:
                log.unlink()
        for name in (LOGS, STATE):
            with suppress(OSError):  # others have something to say
                (self.path / name).rmdir()

    def forget_beginnings(self) -> None:
        """Take away the nets that several trainings started from, once all have a record."""
        for path in (self.path / STATE).glob(f"{BEGINNING}*.pt"):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            (self.path / STATE).rmdir()

    def _folder(self, name: str) -> Path:
        """A folder of ours in the run, made if it is not there."""
        folder = self.path / name
        with refusals(folder):
            folder.mkdir(exist_ok=True)
        require_own_folder(folder)
        return folder

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
        """Take back what was being written when a run ended: of our own files, and of no others."""
        _cut_to_lines(self._descriptor, self.path / RECORDS)
        beside = self.path / TIMELINES
        if beside.exists():
            descriptor = open_own(beside, os.O_RDWR)
            try:
                _cut_to_lines(descriptor, beside)
            finally:
                os.close(descriptor)

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


def _cut_to_lines(descriptor: int, file: Path) -> None:
    """Cut off what follows the last newline."""
    with refusals(file):
        size = os.fstat(descriptor).st_size
        end = size
        while end:
            start = max(0, end - _PIECE)
            newline = os.pread(descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(descriptor, end)


def is_free(path: Path) -> bool:
    """Whether a run can be started at ``path``: nothing is there, or an empty folder.

    Raises:
        RunFolderError: That cannot be found out.
    """
    with refusals(path, "cannot be looked at"):
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return True
        return stat.S_ISDIR(mode) and not any(path.iterdir())


def refuse_existing(path: Path) -> None:
    """Raise unless a run can be started at ``path``.

    Raises:
        RunFolderError: Something is there, or it cannot be looked at.
    """
    if not is_free(path):
        advice = "give another --out, or --resume to go on with it"
        raise RunFolderError(f"{path}: exists already, nothing was overwritten; {advice}")


def check_run(path: Path) -> dict[str, Any]:
    """Make sure that a run can be gone on with, as far as its folder says; returns what made it.

    Raises:
        RunFolderError: Something in it is not what a run makes, or cannot be written.
    """
    suite, first = read_suite(path), read_environment(path)
    for name in (RECORDS, SUITE, ENVIRONMENT, f".{ENVIRONMENT}", TIMELINES):
        require_own_file(path / name)
    for name in (LOGS, STATE, DEVICES):
        require_own_folder(path / name)
    for key, found, kind, expected in (
        ("versions", first.get("versions"), dict, "an object of names and versions"),
        ("resumed", first.get("resumed", []), list, "a list of environments"),
    ):
        if not isinstance(found, kind):
            raise RunFolderError(
                f"{path / ENVIRONMENT}: {key} is {_brief(found) if key in first else 'missing'}, "
                f"expected {expected}; put the file back as it was written, or start a new run"
            )
    devices = suite.get("devices")
    if not isinstance(devices, list) or not all(isinstance(each, dict) for each in devices):
        raise RunFolderError(
            f"{path / SUITE}: devices is {_brief(devices)}, expected a list of objects with name, "
            "source and sha256; put the file back as it was written, or start a new run"
        )
    return first


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
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        value = [each.get("name") or each.get("algorithm") for each in value]
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
