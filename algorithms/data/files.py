"""Data files on disk: found and read whole, or one clear sentence why not.

They lie in one folder named by the user, laid out as torchvision lays out its root.

Shape suffix: S samples.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch

from trainfit.algorithms.errors import ConfigurationError

DATA_ROOT_VARIABLE = "TRAINFIT_DATA_ROOT"
"""Environment variable that names the data root if no argument does."""
AGAIN = "fetch it again"


def data_folder(dataset: str, data_root: Path | None, inside: str) -> Path:
    """The folder of a data set below the data root, known to exist and to be readable.

    Args:
        dataset: Whose files are looked for, for messages.
        data_root: What the user named; None takes ``TRAINFIT_DATA_ROOT``.
        inside: The folder below the data root, ``MNIST/raw`` for instance.

    Raises:
        ConfigurationError: Nothing was named, or one of the folders cannot be listed.
    """
    fetched = dataset.split("-", 1)[0]  # the forms of one data set come from the same files
    advice = (
        f"pass --data-root DIR or set {DATA_ROOT_VARIABLE} to the folder that holds {inside}/...; "
        f"'trainfit download {fetched} --data-root DIR' fetches it"
    )
    if data_root is None:
        named = os.environ.get(DATA_ROOT_VARIABLE)
        if not named:
            raise ConfigurationError(f"dataset {dataset!r} is read from files; {advice}")
        data_root = Path(named)
    # Absolute, because a job's log does not show which folder it ran in.
    root = data_root.absolute()
    _list(dataset, "data root", root, advice)
    _list(dataset, "folder", root / inside, advice)
    return root / inside


def _list(dataset: str, what: str, path: Path, advice: str) -> None:
    try:
        os.listdir(path)
    except FileNotFoundError:
        reason = "does not exist"
    except NotADirectoryError:
        reason = "is not a directory"
    except PermissionError:
        reason = "cannot be read: permission denied"
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    else:
        return
    raise ConfigurationError(f"dataset {dataset!r}: {what} {path} {reason}; {advice}")


def find_files(
    dataset: str, folder: Path, names: Sequence[str], endings: Sequence[str] = ("",)
) -> list[Path]:
    """The paths of files that have to be in a folder, in the order of their names.

    Args:
        dataset: Whose files they are, for messages.
        folder: The folder, which can be listed.
        names: Names without their ending.
        endings: What each may end in; the first that is there counts.

    Raises:
        ConfigurationError: One is missing; the message says which ones are needed.
    """
    # Names are compared, not files opened: one that is there but unreadable must say so later.
    present = set(os.listdir(folder))
    found = []
    for name in names:
        candidates = [f"{name}{ending}" for ending in endings]
        there = [candidate for candidate in candidates if candidate in present]
        if not there:
            raise ConfigurationError(
                f"dataset {dataset!r}: {folder} holds no {' or '.join(candidates)}; "
                f"it needs {', '.join(names)}"
            )
        found.append(folder / there[0])
    return found


def check_file(path: Path, most_bytes: int | None = None) -> int:
    """The size of a file in bytes, after checking that it is a file of a sensible size.

    Args:
        path: The file.
        most_bytes: Largest allowed size; None if it is not read as a whole.

    Raises:
        ConfigurationError: It is missing, something else than a file, empty or too large.
    """
    try:
        status = path.stat()
    except OSError as error:
        unreadable(path, error)
    if not stat.S_ISREG(status.st_mode):
        fail(path, "is not a regular file")
    if status.st_size == 0:
        fail(path, f"is empty (0 bytes); {AGAIN}")
    if most_bytes is not None and status.st_size > most_bytes:
        fail(path, f"holds {status.st_size:,} bytes, more than the {most_bytes:,} that it may hold")
    return status.st_size


def read_whole(path: Path, most_bytes: int) -> bytes:
    """Everything in a file.

    Raises:
        ConfigurationError: See `check_file`, or it cannot be read.
    """
    check_file(path, most_bytes)
    try:
        return path.read_bytes()
    except OSError as error:
        unreadable(path, error)


def check_labels(path: Path, y_S: torch.Tensor, samples: int, classes: int) -> None:
    """Make sure that a file holds a label for every image, each from 0 to ``classes`` - 1.

    Raises:
        ConfigurationError: It does not.
    """
    if len(y_S) != samples:
        fail(
            path,
            f"holds {len(y_S):,} labels for {samples:,} images; every image needs one: "
            "fetch images and labels again",
        )
    wrong = ((y_S < 0) | (y_S >= classes)).nonzero()
    if len(wrong):
        first = int(wrong[0])
        fail(
            path,
            f"holds label {int(y_S[first])} at position {first}; "
            f"labels go from 0 to {classes - 1}: {AGAIN}",
        )


def unreadable(path: Path, error: OSError) -> NoReturn:
    """Raise the error for a file that the operating system does not let be read."""
    if isinstance(error, PermissionError):
        fail(path, "cannot be read: permission denied; make it readable")
    fail(path, f"cannot be read: {error.strerror or error}")


def fail(path: Path, problem: str) -> NoReturn:
    """Raise an error about a file, with its name first."""
    raise ConfigurationError(f"{path} {problem}")
