"""Files that trainfit makes in a folder, and the promise that it touches no others.

A run folder may come from somebody else: unpacked, checked out, shared. A symbolic link in it could
have a run write or cut any file of the user's, so links are refused, and so is a file that has
another name elsewhere, and whatever is no file at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainfit.bench.errors import RunFolderError

_AT_ONCE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Follow no link, wait for nobody at a FIFO, leave nothing open in processes that are started."""


_ENDINGS = (".log", ".pt", ".toml")
"""Of the files that a run keeps in folders of its own; what else lies there is not touched."""


@contextmanager
def refusals(path: Path, what: str = "cannot write") -> Iterator[None]:
    """Say in one message what the system refuses.

    Raises:
        RunFolderError: An ``OSError`` came up.
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{path}: {what}: {error.strerror or error}") from error


def require_own_file(path: Path) -> None:
    """Make sure that a file is one that a run could have made, or is not there.

    Raises:
        RunFolderError: It is a link, has several names, or is no file.
    """
    with refusals(path, "cannot be looked at"):
        try:
            _require_plain(path, path.lstat())
        except FileNotFoundError:
            return


def require_own_folder(path: Path) -> None:
    """Make sure that a folder and what has our endings in it are what a run could have made.

    Raises:
        RunFolderError: It is a link or no folder, or one of those files is not as above.
    """
    with refusals(path, "cannot be looked at"):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(mode):
            raise _not_ours(path, "a symbolic link" if stat.S_ISLNK(mode) else "no folder")
        members = sorted(each for each in path.iterdir() if each.suffix in _ENDINGS)
    for member in members:
        require_own_file(member)


def open_own(path: Path, flags: int) -> int:
    """Open a file of a run, which is made if ``flags`` say so; returns its descriptor.

    Raises:
        RunFolderError: It is not as above, or cannot be opened.
    """
    require_own_file(path)
    with refusals(path):
        descriptor = os.open(path, flags | _AT_ONCE, 0o666)
    try:
        _require_plain(path, os.fstat(descriptor))  # what was opened, should it be another by now
    except RunFolderError:
        os.close(descriptor)
        raise
    return descriptor


def replace_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, and on the disk, or is as it was before.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    scratch = path.with_name(f".{path.name}")
    scratch.unlink(missing_ok=True)  # of one that was cut off; a link goes, not what it points to
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _AT_ONCE, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        scratch.replace(path)
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_plain(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise _not_ours(path, "a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise _not_ours(path, "no file")
    if found.st_nlink > 1:
        raise _not_ours(path, "a file with another name elsewhere (a hard link)")


def _not_ours(path: Path, what: str) -> RunFolderError:
    return RunFolderError(
        f"{path}: cannot write: it is {what}, and a run is written to files and folders of its own"
        " only; copy the folder with what its links point to (cp -rL), or start a new run"
    )
