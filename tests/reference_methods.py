"""Other methods that answer to the name "peak memory", for comparison with ours.

Each takes a prepared training step and gives bytes. Run each in a process of its own
(:func:`in_child`): most of them look at the whole process. memray is optional (extra ``test``).
``docs/scripts/peak_definitions.py`` makes the tables of ``docs/which-peak.md`` of them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainfit.algorithms import Mlp, build_algorithm, get_model, phase
from trainfit.bench.processes.child import Ending, Message
from trainfit.bench.processes.isolation import call
from trainfit.bench.profiler.determinism import pinned, quiet_collector
from trainfit.bench.profiler.step import profile_step

_WARMUP = 2
_POLL = """
import select, sys
look = lambda: int(open(f"/proc/{sys.argv[1]}/statm").read().split()[1])
first = most = look()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.01)[0]:
    most = max(most, look())
print(most - first)
"""


class Prepared(NamedTuple):
    """A step that is warm, and the tensors it holds between calls."""

    run: Callable[[], None]
    held: list[torch.Tensor]


def batch(model: str, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random inputs and labels of the right shape."""
    net, generator = get_model(model), torch.Generator().manual_seed(0)
    x = torch.rand(rows, net.inputs, generator=generator)
    return x, torch.randint(net.classes, (rows,), generator=generator)


def algorithm_step(
    name: str, model: str, rows: int, options: dict[str, Any] | None = None, *, stage: int = 0
) -> Prepared:
    """A step of a registered algorithm."""
    algorithm = build_algorithm(name, model, options)
    algorithm.enter_stage(stage)
    x, y = batch(model, rows)
    held = [x, y, *(static.tensor for static in algorithm.static_tensors())]
    return _warm(Prepared(lambda: algorithm.step(x, y), held))


def torch_step(model: str, rows: int, optimizer: str) -> Prepared:
    """The step as a tutorial writes it: ``torch.nn`` and ``torch.optim``.

    Args:
        model: Name of a fully connected net.
        rows: Batch size.
        optimizer: ``sgd`` (with momentum) or ``adam``.
    """
    torch.manual_seed(0)
    parts: list[torch.nn.Module] = []
    for inputs, outputs in Mlp.parse(model).layers:
        parts += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    net = torch.nn.Sequential(*parts[:-1])
    update: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), lr=1e-3)
        if optimizer == "adam"
        else torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    )
    x, y = batch(model, rows)

    def step() -> None:
        with phase("forward"):
            loss = functional.cross_entropy(net(x), y)
        with phase("gradient"):
            loss.backward()
            del loss
        with phase("update"):
            update.step()
            update.zero_grad(set_to_none=True)

    warm = _warm(Prepared(step, []))
    state = [s for each in update.state.values() for s in each.values() if torch.is_tensor(s)]
    return Prepared(warm.run, [x, y, *net.parameters(), *state])


def in_child(target: str, job: Message, *, timeout_seconds: float = 300) -> Message:
    """Run ``target`` (``module:function``) in a process of its own and return what it sends.

    Raises:
        RuntimeError: It did not end well.
    """
    said: Message = {}
    with tempfile.TemporaryDirectory() as folder:
        outcome = call(
            target,
            job,
            log=Path(folder) / "log",
            timeout_seconds=timeout_seconds,
            preload=["trainfit.algorithms", "torch.distributed._tools.mem_tracker", "memray"],
            on_message=said.update,
        )
        if outcome.ending is not Ending.RETURNED:
            raise RuntimeError(f"{target} {job}: {outcome.type}: {outcome.message}")
    return said


def _warm(step: Prepared) -> Prepared:
    for settings in (nullcontext(), pinned()):  # each has kernels, and lazy state, of its own
        with settings:
            for _ in range(_WARMUP):
                step.run()
    return step


# ---- the methods: bytes that a warm step takes beyond what is there before it --------------------


def exact(step: Prepared) -> int:
    """Every allocation and free of torch's allocator, summed in time order."""
    return profile_step(step.run).peak_dynamic_bytes


def as_deployed(step: Prepared) -> int:
    """The same with threads and oneDNN as the process has them."""
    return profile_step(step.run, pin=False).peak_dynamic_bytes


def tracker_peak(step: Prepared) -> int:
    """``MemTracker``: tensors that operators return, followed by weak references to storages.

    Raises:
        NotImplementedError: The step calls a root module's forward a second time.
    """
    from torch.distributed._tools.mem_tracker import MemTracker

    tracker = MemTracker()
    tracker.track_external(*step.held)
    cpu = torch.device("cpu")
    before = tracker.get_tracker_snapshot()[cpu]["Total"]
    with pinned(), quiet_collector(), tracker:
        step.run()
    return tracker.get_tracker_snapshot("peak")[cpu]["Total"] - before


def heap_high_water(step: Prepared) -> int:
    """memray: everything that malloc and mmap hand out, Python's own objects included.

    But for small ones: Python takes those from arenas of 1 MiB, of which there are enough before.
    """
    import memray

    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        with pinned(), quiet_collector(), _room_for_small_objects(), memray.Tracker(trace):
            step.run()
        return memray.FileReader(trace).metadata.peak_memory


@contextmanager
def _room_for_small_objects() -> Iterator[None]:
    """Two arenas that are nearly empty.

    How full the last one is depends on all that was imported; where a step's own objects no longer
    fit, Python maps another, and the step seems to need 1 MiB more.
    """
    filled = [bytes(400) for _ in range(6000)]
    held = filled[::1000]  # an arena is given back only if nothing at all is left in it
    del filled
    yield
    del held


def python_heap(step: Prepared) -> int:
    """tracemalloc: what Python's allocator hands out; tensor data is not among it."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    with quiet_collector():
        step.run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - before


def maxrss_growth(step: Prepared) -> int:
    """Growth of ``ru_maxrss``, a high water mark since the process began."""
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step.run()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit


def hwm_growth(step: Prepared) -> int:
    """``VmHWM``, reset to the present before the step (Linux).

    Raises:
        OSError: The kernel does not let this process reset it.
    """
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _status("VmHWM")
    step.run()
    return _status("VmHWM") - before


def polled_growth(step: Prepared) -> int:
    """Resident pages, read every 10 ms by another process, as most benchmark suites do (Linux)."""
    command = [sys.executable, "-c", _POLL, str(os.getpid())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as poller:
        assert poller.stdout is not None
        poller.stdout.readline()
        step.run()
        pages, _ = poller.communicate("stop")
    return int(pages) * resource.getpagesize()


def sum_of_outputs(step: Prepared) -> int:
    """The sizes of all tensors that operators return, added up: no lifetimes, no sharing."""
    total = 0

    class Sum(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            nonlocal total
            result = func(*args, **(kwargs or {}))
            total += sum(t.nbytes for t in tree_leaves(result) if torch.is_tensor(t))
            return result

    with Sum():  # type: ignore[no-untyped-call]
        step.run()
    return total


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
