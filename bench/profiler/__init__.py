"""How much memory a training step needs, how long it takes, and how much energy.

``events`` and ``fold`` are pure: an event stream in, peaks per phase out. ``session`` captures
such a stream from torch on the CPU, ``cuda`` from the caching allocator. ``step`` puts them
together for any callable, ``memory``, ``latency`` and ``energy`` for an algorithm. ``lines`` shows
the memory of a step on CUDA by source line.
"""

from __future__ import annotations

from .cuda import profile_cuda_step
from .energy import measure_energy
from .latency import measure_latency
from .lines import line_report
from .memory import measure_memory
from .preflight import ForeignThreadError
from .session import SessionError
from .step import StepProfile, profile_step

__all__ = [
    "ForeignThreadError",
    "SessionError",
    "StepProfile",
    "line_report",
    "measure_energy",
    "measure_latency",
    "measure_memory",
    "profile_cuda_step",
    "profile_step",
]
