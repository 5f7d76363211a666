"""Where modules may be found: what lies in the current folder is data, not code to be run.

Python looks for modules in the current folder first when it is started as ``python -m`` or ``-c``.
Someone else's folder, unpacked to have a look at its runs, may hold a ``zeus.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def is_current_folder(entry: str) -> bool:
    """Whether an entry of ``sys.path`` is the current folder, by whatever name."""
    try:
        return os.path.samefile(entry or os.curdir, os.curdir)
    except (OSError, ValueError):
        return False  # it does not exist, or is an archive


def forget_current_folder() -> None:
    """Take the current folder off the path of modules; for programs, not for libraries.

    Whoever works in the sources of trainfit itself runs them: that folder stays.
    """
    own = os.path.dirname(os.path.dirname(__file__))
    if not is_current_folder(own):
        _leave_out_current_folder()


def _leave_out_current_folder() -> None:
    sys.path[:] = [entry for entry in sys.path if not is_current_folder(entry)]


def add_current_folder() -> None:
    """Put the current folder at the end of the path: what is installed is found first."""
    if not any(map(is_current_folder, sys.path)):
        with suppress(OSError):  # there is none any more
            sys.path.append(os.getcwd())


@contextmanager
def current_folder_left_out() -> Iterator[None]:
    """Import a package that need not be installed: one that is not must not be found here instead.

    For optional packages alone, and short: the path belongs to all threads.
    """
    before = list(sys.path)
    _leave_out_current_folder()
    try:
        yield
    finally:
        sys.path[:] = before
