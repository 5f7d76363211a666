"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder: all of them, or, if the disk is full, none.

    Args:
        folder: Made with its parents if it is not there.
        contents: Names of the files, and what is in them; files that are there are replaced.

    Returns:
        The files, in the order given.

    Raises:
        OSError: They cannot be written; no file and no folder is left behind.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    scratches: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            scratch = folder / f".{name}.{os.getpid()}"
            scratches[scratch] = folder / name
            with scratch.open("xb") as stream:
                stream.write(content)
        for scratch, file in scratches.items():
            scratch.replace(file)
    except BaseException:
        for scratch in scratches:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
        for each in made:  # the innermost first
            with suppress(OSError):
                each.rmdir()
        raise
    return list(scratches.values())
