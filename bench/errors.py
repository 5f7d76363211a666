"""Errors a user can cause in this folder; the command line makes them one line and exit code 2.

This module imports nothing heavy, so that the command line can say what is wrong at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(ValueError):
    """Something asked for cannot be measured; the message says what, where, and what would be."""


class SuiteError(BenchError):
    """A suite does not exist, is malformed, or contradicts itself."""


class RunFolderError(BenchError):
    """A run folder cannot be made, read, or gone on with."""


class PreflightError(BenchError):
    """A workload asks for what does not exist or does not fit together."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What a message appends to an unknown name: the nearest right ones, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
