"""How much memory a training step needs, how long it takes, and how much energy.

``events`` and ``fold`` are pure: an event stream in, peaks per phase out. ``session`` captures
such a stream from torch on the CPU, ``cuda`` from the caching allocator. ``step`` puts them
together for any callable, ``latency`` and ``energy`` for an algorithm. ``lines`` shows
the memory of a step on CUDA by source line.
"""

from __future__ import annotations

from trainfit.bench.profiler.cuda import profile_cuda_step
from trainfit.bench.profiler.determinism import ForeignThreadError
from trainfit.bench.profiler.energy.measure import measure_energy
from trainfit.bench.profiler.latency import measure_latency
from trainfit.bench.profiler.lines import line_report
from trainfit.bench.profiler.refusals import ForeignProcessError, NothingMeasuredError
from trainfit.bench.profiler.session import SessionError
from trainfit.bench.profiler.step import StepProfile, profile_step

__all__ = [
    "ForeignProcessError",
    "ForeignThreadError",
    "NothingMeasuredError",
    "SessionError",
    "StepProfile",
    "line_report",
    "measure_energy",
    "measure_latency",
    "profile_cuda_step",
    "profile_step",
]
