"""trainfit: which training algorithm fits on a device, how do we know, did it get worse?

The public face of the project; everything here lives elsewhere.

* :func:`profile_step` measures the peak memory of any training step, to the byte; on a GPU
  :func:`profile_cuda_step` does, and :func:`line_report` shows it line by line.
* :func:`phase` marks the parts of a step.
* :func:`build_algorithm` makes one of the training algorithms that come with it;
  :func:`sketch_algorithm` one without weights, for the closed form of any size.
* :func:`load_device` and :func:`judge` hold bytes against a board.
* :func:`load_run` reads a run folder into one DataFrame.
* :func:`record_benchmark` puts bytes beside the times of pytest-benchmark; in one's own tests the
  fixture and the marker ``training_memory`` hold a step to limits.

::

    import torch, trainfit

    net = torch.nn.Linear(64, 10)
    x, y = torch.rand(32, 64), torch.randint(0, 10, (32,))

    def step():
        with trainfit.phase("forward"):
            loss = torch.nn.functional.cross_entropy(net(x), y)
        with trainfit.phase("gradient"):
            loss.backward()
        net.zero_grad()

    profile = trainfit.profile_step(step)
    profile.peak_dynamic_bytes, profile.phases["gradient"].categories
"""

from __future__ import annotations

import os

# torch's profiler reports every session on stderr unless told not to before it is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

from algorithms import (
    Algorithm,
    Category,
    algorithm_names,
    build_algorithm,
    sketch_algorithm,
)
from algorithms.phases import phase, tag
from bench.benchmark_bridge import record_benchmark
from bench.budget import Status, Verdict, judge
from bench.profiler import (
    ForeignThreadError,
    SessionError,
    StepProfile,
    line_report,
    profile_cuda_step,
    profile_step,
)
from bench.records import load_run
from hardware_profiles import Device, device_names, load_device

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Category",
    "Device",
    "ForeignThreadError",
    "SessionError",
    "Status",
    "StepProfile",
    "Verdict",
    "algorithm_names",
    "build_algorithm",
    "device_names",
    "judge",
    "line_report",
    "load_device",
    "load_run",
    "phase",
    "profile_cuda_step",
    "profile_step",
    "record_benchmark",
    "sketch_algorithm",
    "tag",
]
