"""Errors a user can cause in this folder; the command line makes them one line and exit code 2.

This module imports nothing heavy, so that the command line can say what is wrong at once.
"""

from __future__ import annotations


class BenchError(ValueError):
    """Something asked for cannot be measured; the message says what, where, and what would be."""


class SuiteError(BenchError):
    """A suite does not exist, is malformed, or contradicts itself."""


class RunFolderError(BenchError):
    """A run folder cannot be made, read, or gone on with."""


class PreflightError(BenchError):
    """A workload asks for what does not exist or does not fit together."""
