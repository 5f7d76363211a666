"""The frame of a run, kept beside a large run's records as columns.

Records are lines of JSON, tens of kilobytes each: right for one writer and any reader, slow to turn
into a frame by the hundred thousand. So the frame of a large run is kept in ``DIR/cache`` as
Parquet. It is a copy: it is used only while the records and the code that flattens them are the
ones it was made from, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainfit.bench.records import frame as frame_module
from trainfit.bench.records import schema as schema_module
from trainfit.bench.records.frame import to_frame
from trainfit.bench.records.reading import RECORDS, iter_records

if TYPE_CHECKING:
    import pandas as pd

CACHE = "cache"

WORTH_KEEPING = 500
"""Records from which on the frame is kept; fewer are flattened in a fraction of a second."""


def load_frame(path: Path) -> pd.DataFrame:
    """The frame of a run, from the copy if there is one that fits; makes one for a large run.

    Args:
        path: The run folder.

    Raises:
        RunFolderError: ``path`` is not a run folder or holds a damaged record.
    """
    import pandas as pd  # noqa: PLC0415  (half a second that the command line does not need)

    copy = copy_of(path)
    if copy is not None and copy.exists():
        with suppress(OSError, ValueError):  # damaged: made anew below
            return pd.read_parquet(copy)
    made = to_frame(iter_records(path))
    if copy is not None and len(made) >= WORTH_KEEPING:
        with suppress(OSError):  # a folder that may not be written, a full disk
            _keep(made, copy)
    return made


def copy_of(path: Path) -> Path | None:
    """Where the copy of a run's frame is kept; its name is that of the records and of this code."""
    try:
        found = (path / RECORDS).stat()
    except OSError:
        return None
    key = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode())
    for module in (frame_module, schema_module):
        key.update(Path(str(module.__file__)).read_bytes())
    return path / CACHE / f"frame-{key.hexdigest()[:16]}.parquet"


def _keep(made: pd.DataFrame, copy: Path) -> None:
    copy.parent.mkdir(exist_ok=True)
    scratch = copy.with_suffix(f".{os.getpid()}")
    try:
        made.to_parquet(scratch, index=False)
        for old in copy.parent.glob("frame-*.parquet"):
            old.unlink()
        scratch.rename(copy)
    finally:
        scratch.unlink(missing_ok=True)
