"""One training step seen by every method that is called "peak memory": ``docs/which-peak.md``.

``python -m bench.which_peak`` measures each cell in a process of its own and prints two Markdown
tables: what each method answers, and which phase owns the peak. Methods that depend on the page
allocator are repeated and shown as a range. memray is optional (extra ``test``).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from algorithms import build_algorithm, get_model, phase

from .child import Ending, Message, Send
from .isolation import call
from .profiler.memory import static_bytes
from .profiler.preflight import pinned, quiet_collector
from .profiler.step import profile_step

CASES = (("mlp-64-128-128-10", 32), ("mlp-784-500-500-10", 100), ("mlp-784-4000x3-10", 100))
"""Models and batch sizes: a microcontroller's, the usual one, and one of more than 100 MB."""

NOISY_REPEATS = 5
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
    for inputs, outputs in get_model(model).layers:
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
    from torch.distributed._tools.mem_tracker import MemTracker  # noqa: PLC0415  (slow import)

    tracker = MemTracker()
    tracker.track_external(*step.held)
    cpu = torch.device("cpu")
    before = tracker.get_tracker_snapshot()[cpu]["Total"]
    with pinned(), quiet_collector(), tracker:
        step.run()
    return tracker.get_tracker_snapshot("peak")[cpu]["Total"] - before


def heap_high_water(step: Prepared) -> int:
    """memray: everything that malloc and mmap hand out, Python's own objects included."""
    import memray  # noqa: PLC0415  (an extra)

    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        with pinned(), quiet_collector(), memray.Tracker(trace):
            step.run()
        return memray.FileReader(trace).metadata.peak_memory


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


class Method(NamedTuple):
    """A row of the first table."""

    name: str
    measure: Callable[[Prepared], int] | str  # a string is an attribute of the closed form
    remark: str
    noisy: bool = False


METHODS = (
    Method("allocator events (`profile_step`)", exact, "the exact figure"),
    Method("closed form", "closed_form_bytes", "computed, nothing runs"),
    Method("lower bound", "lower_bound_bytes", "what the algorithm cannot do without"),
    Method("static + dynamic", "total", "plus parameters, momentum and the batch"),
    Method("as deployed", as_deployed, "threads and oneDNN as found"),
    Method("`MemTracker`", tracker_peak, "one forward per root module only"),
    Method("memray high water", heap_high_water, "plus Python's bookkeeping", noisy=True),
    Method(
        "sum of operator outputs",
        sum_of_outputs,
        "no lifetimes; views and in-place results count again",
    ),
    Method("`tracemalloc`", python_heap, "sees no tensor data", noisy=True),
    Method("`ru_maxrss` growth", maxrss_growth, "the warm-up has been there already", noisy=True),
    Method("`VmHWM` after `clear_refs`", hwm_growth, "reused pages do not count", noisy=True),
    Method("RSS polled every 10 ms", polled_growth, "the peak falls between two looks", noisy=True),
)

OWNERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("backprop, `torch.optim.SGD` with momentum", "mlp-784-500-500-10", {"torch": "sgd"}),
    ("backprop, `torch.optim.Adam`", "mlp-784-500-500-10", {"torch": "adam"}),
    ("backprop, Adam a tile at a time", "mlp-784-500-500-10", {"optimizer": "adam"}),
    (
        "backprop, update fused into the backward pass",
        "mlp-784-500-500-10",
        {"update": "fused"},
    ),
    (
        "Forward-Forward by autograd, **one** layer",
        "mlp-784-500-10",
        {"implementation": "autograd"},
    ),
    (
        "Forward-Forward in closed form, one layer",
        "mlp-784-500-10",
        {"implementation": "closed_form"},
    ),
    (
        "Forward-Forward in closed form, both layers",
        "mlp-784-500-500-10",
        {"implementation": "closed_form"},
    ),
)


# ---- in the child --------------------------------------------------------------------------------


def answer(job: Message, send: Send) -> None:
    """Measure one cell of the first table; ``job`` has ``method`` (its number), ``case``."""
    method, (model, rows) = METHODS[job["method"]], CASES[job["case"]]
    if isinstance(method.measure, str):
        algorithm = build_algorithm("backprop", model)
        plan = algorithm.memory_model(rows)
        ram, _ = static_bytes(algorithm, *batch(model, rows))
        total = plan.closed_form_bytes + sum(ram.values())
        send({"bytes": total if method.measure == "total" else getattr(plan, method.measure)})
        return
    try:
        send({"bytes": method.measure(algorithm_step("backprop", model, rows))})
    except (ImportError, OSError) as error:
        send({"unavailable": str(error)})


def own(job: Message, send: Send) -> None:
    """Measure one row of the second table; ``job`` has ``owner`` (its number)."""
    _, model, options = OWNERS[job["owner"]]
    if "torch" in options:
        step = torch_step(model, 100, options["torch"])
    else:
        name = "forward_forward" if "implementation" in options else "backprop"
        step = algorithm_step(name, model, 100, options)
    profile = profile_step(step.run)
    peaks = [profile.phases[p].peak_bytes for p in ("forward", "gradient", "update")]
    send({"peaks": peaks, "peak": profile.peak_dynamic_bytes, "owner": profile.peak_phase})


# ---- the tables ----------------------------------------------------------------------------------


def ask(target: str, job: Message, *, timeout_seconds: float = 300) -> Message:
    """Run ``target`` in a process of its own and return what it sends.

    Raises:
        RuntimeError: It did not end well.
    """
    said: Message = {}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        outcome = call(
            target,
            job,
            log=log,
            timeout_seconds=timeout_seconds,
            preload=["bench.which_peak", "torch.distributed._tools.mem_tracker", "memray"],
            on_message=said.update,
        )
        if outcome.ending is not Ending.RETURNED:
            raise RuntimeError(f"{target} {job}: {outcome.type}: {outcome.message}")
    return said


def methods_table(case: int) -> Iterable[str]:
    """Rows of the first table for one case."""
    yield "| method | bytes | of the exact figure | remark |"
    yield "|---|--:|--:|---|"
    truth = 0
    for number, method in enumerate(METHODS):
        repeats = NOISY_REPEATS if method.noisy else 1
        said = [
            ask("bench.which_peak:answer", {"method": number, "case": case}) for _ in range(repeats)
        ]
        found = sorted(each["bytes"] for each in said if "bytes" in each)
        if not found:
            yield f"| {method.name} | unavailable | | {said[0]['unavailable']} |"
            continue
        truth = truth or found[0]
        ends = list(dict.fromkeys((found[0], found[-1])))
        figures = " to ".join(f"{end:,}" for end in ends)
        ratios = " to ".join(dict.fromkeys(f"{end / truth:.3f}" for end in ends))
        yield f"| {method.name} | {figures} | {ratios} | {method.remark} |"


def owners_table() -> Iterable[str]:
    """Rows of the second table."""
    yield "| step, batch 100 | model | forward | gradient | update | peak | owned by |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for number, (title, model, _) in enumerate(OWNERS):
        said = ask("bench.which_peak:own", {"owner": number})
        peaks = " | ".join(f"{peak:,}" for peak in said["peaks"])
        yield f"| {title} | `{model}` | {peaks} | {said['peak']:,} | {said['owner']} |"


def main() -> None:
    """Print both tables as they are made."""
    say = sys.stdout
    for case, (model, rows) in enumerate(CASES):
        say.write(f"**`{model}`, batch {rows}**\n\n")
        for line in methods_table(case):
            say.write(line + "\n")
            say.flush()
        say.write("\n")
    for line in owners_table():
        say.write(line + "\n")
        say.flush()


if __name__ == "__main__":
    main()
