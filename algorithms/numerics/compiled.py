"""Kernels compiled with numba, on machines that let it keep what it compiled and on others.

numba looks for a folder to cache in beside the source file and in the user's own cache, and refuses
the function where it may write to neither: in a container that runs as another user, on a full
disk, without a home. A cache saves seconds and changes nothing else, so a kernel never fails for
want of one: it is then kept below the folder for temporary files, or compiled in every process.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(signature: str | list[str], **options: Any) -> Callable[[Callable[..., None]], Any]:
    """Decorates a function that numba compiles at once.

    Args:
        signature: Types of the arguments, as numba writes them; or several of these.
        options: Further options of ``numba.njit``.
    """

    def decorate(function: Callable[..., None]) -> Any:
        with suppress(Exception):  # whatever ails a cache, the kernel can do without
            return numba.njit(signature, cache=True, **options)(function)
        folder = temporary_cache()
        if folder is not None:
            with suppress(Exception), _cached_in(folder):
                return numba.njit(signature, cache=True, **options)(function)
        return numba.njit(signature, **options)(function)

    return decorate


@cache
def temporary_cache() -> Path | None:
    """A folder for compiled kernels among the temporary files; None where none can be trusted.

    What numba reads from its cache it runs: nobody else may be able to write there.
    """
    try:
        temporary = Path(tempfile.gettempdir())
        if temporary == Path.cwd():  # Python's last resort; a work folder is not littered
            return None
        user = os.getuid() if hasattr(os, "getuid") else None  # Windows has a folder per user
        folder = temporary / f"trainfit-kernels-{'' if user is None else user}".rstrip("-")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and user in (None, found.st_uid)
    closed = user is None or not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if ours and closed else None


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Functions that are compiled here are cached in a folder; what the user has set stays."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
