"""Imported by the fork server alone: it becomes the parent of whatever its children leave behind.

Without that, what a workload has started in a session of its own would belong to nobody when the
workload's process is gone, and could not be found. Linux only; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes
import sys
import warnings

_PR_SET_CHILD_SUBREAPER = 36

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # The server does not expect to hear of children that it did not start.
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
