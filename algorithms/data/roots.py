"""Where data files lie: one folder named by the user, laid out as torchvision lays out its root."""

from __future__ import annotations

import os
from pathlib import Path

from trainfit.algorithms.errors import ConfigurationError

DATA_ROOT_VARIABLE = "TRAINFIT_DATA_ROOT"
"""Environment variable that names the data root where no argument does."""


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
