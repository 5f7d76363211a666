"""A step's CUDA memory by source line: pytorch-memlab's line profiler, run over one step.

The line profiler hangs on Python's trace hook and asks the caching allocator for its statistics
at every line. It records nothing without a CUDA device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from trainfit.bench.profiler.session import SessionError
from trainfit.bench.profiler.step import run_step


def line_report(step: Callable[[], Any], *functions: Callable[..., Any]) -> str:
    """Report a step's CUDA memory by source line, as a table for people.

    The figures are peaks since the line before, of rounded active and of reserved bytes on the
    current device, static bytes included: good for finding the line, not for exact sums. What
    runs on another thread counts at the line that waits for it (``loss.backward()``).

    Args:
        step: Called once.
        functions: Python functions whose lines are reported; ``step`` itself if none is given.

    Raises:
        SessionError: No CUDA device.
        TypeError: Something given has no Python source (a module, a builtin).
    """
    if not torch.cuda.is_available():
        raise SessionError(
            "pytorch-memlab's line profiler records nothing on the CPU, and there is no CUDA"
            " device here; profile_step measures the CPU"
        )
    chosen = functions or (step,)
    for function in chosen:
        if not hasattr(function, "__code__"):
            raise TypeError(
                f"{function!r} has no Python source lines; give a function or a method, for a"
                " module its forward"
            )
    # Imported here because the import itself switches a profiler on, and prints without CUDA.
    from pytorch_memlab import LineProfiler  # noqa: PLC0415

    profiler = LineProfiler(*chosen, target_gpu=torch.cuda.current_device())
    tracing = sys.gettrace()  # the profiler takes the hook away from a debugger or coverage
    try:
        with profiler:
            run_step(step)
    finally:
        sys.settrace(tracing)
    return str(profiler.display())
