"""trainfit: which training algorithm fits on a device, how do we know, did it get worse?

The public face of the project; everything here lives elsewhere.

* :func:`profile_step` measures the peak memory of any training step, to the byte; on a GPU
  :func:`profile_cuda_step` does, and :func:`line_report` shows it line by line.
* :func:`predict_step` says the same of a step without running it, from its code alone.
* :func:`phase` marks the parts of a step.
* :func:`build_algorithm` makes one of the training algorithms that come with it;
  :func:`build_on_meta` one without weights, for the prediction of any size.
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
from importlib import import_module
from typing import TYPE_CHECKING, Any

# torch's profiler reports every session on stderr unless told not to before it is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

if TYPE_CHECKING:
    from trainfit.algorithms import algorithm_names as algorithm_names
    from trainfit.algorithms import build_algorithm as build_algorithm
    from trainfit.algorithms import build_on_meta as build_on_meta
    from trainfit.algorithms.contract import Algorithm as Algorithm
    from trainfit.algorithms.phases import Category as Category
    from trainfit.algorithms.phases import phase as phase
    from trainfit.algorithms.phases import tag as tag
    from trainfit.bench.frames.sources import load_run as load_run
    from trainfit.bench.profiler import ForeignProcessError as ForeignProcessError
    from trainfit.bench.profiler import ForeignThreadError as ForeignThreadError
    from trainfit.bench.profiler import NothingMeasuredError as NothingMeasuredError
    from trainfit.bench.profiler import SessionError as SessionError
    from trainfit.bench.profiler import StepProfile as StepProfile
    from trainfit.bench.profiler import line_report as line_report
    from trainfit.bench.profiler import profile_cuda_step as profile_cuda_step
    from trainfit.bench.profiler import profile_step as profile_step
    from trainfit.bench.testing.benchmark_bridge import record_benchmark as record_benchmark
    from trainfit.bench.trace.strangers.prediction import StepPrediction as StepPrediction
    from trainfit.bench.trace.strangers.prediction import predict_step as predict_step
    from trainfit.bench.verdicts.memory import Status as Status
    from trainfit.bench.verdicts.memory import Verdict as Verdict
    from trainfit.bench.verdicts.memory import judge as judge
    from trainfit.hardware_profiles import Device as Device
    from trainfit.hardware_profiles import device_names as device_names
    from trainfit.hardware_profiles import load_device as load_device

__version__ = "0.1.0"

_HOMES = {
    "Algorithm": "algorithms.contract",
    "Category": "algorithms.phases",
    "Device": "hardware_profiles",
    "ForeignProcessError": "bench.profiler",
    "ForeignThreadError": "bench.profiler",
    "NothingMeasuredError": "bench.profiler",
    "SessionError": "bench.profiler",
    "Status": "bench.verdicts.memory",
    "StepPrediction": "bench.trace.strangers.prediction",
    "StepProfile": "bench.profiler",
    "Verdict": "bench.verdicts.memory",
    "algorithm_names": "algorithms",
    "build_algorithm": "algorithms",
    "device_names": "hardware_profiles",
    "judge": "bench.verdicts.memory",
    "line_report": "bench.profiler",
    "load_device": "hardware_profiles",
    "load_run": "bench.frames.sources",
    "phase": "algorithms.phases",
    "predict_step": "bench.trace.strangers.prediction",
    "profile_cuda_step": "bench.profiler",
    "profile_step": "bench.profiler",
    "record_benchmark": "bench.testing.benchmark_bridge",
    "build_on_meta": "algorithms",
    "tag": "algorithms.phases",
}
"""Where each public name lives; it is imported when it is first used, and torch with it."""

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
