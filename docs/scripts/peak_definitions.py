"""Print the tables of docs/which-peak.md: one training step seen by every "peak memory" there is.

Each cell is measured in a process of its own: what each method answers, and which phase owns the
peak. Methods that depend on the page allocator are repeated and shown as a range.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from trainfit.algorithms import build_algorithm
from trainfit.bench.processes.child import Message, Send
from trainfit.bench.profiler.step import profile_step
from trainfit.bench.run.memory import static_bytes
from trainfit.bench.trace.prediction import predict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests import reference_methods as other  # the path is that of a clone

CASES = (("mlp-64-128-128-10", 32), ("mlp-784-500-500-10", 100), ("mlp-784-4000x3-10", 100))
"""Models and batch sizes: a microcontroller's, the usual one, and one of more than 100 MB."""

NOISY_REPEATS = 5


class Method(NamedTuple):
    """A row of the first table."""

    name: str
    measure: Callable[[other.Prepared], int] | str  # a string is an attribute of the prediction
    remark: str
    noisy: bool = False


METHODS = (
    Method("allocator events (`profile_step`)", other.exact, "the exact figure"),
    Method("trace of the step", "peak_bytes", "predicted, nothing runs"),
    Method("device view", "device_bytes", "the same schedule as C would run it"),
    Method("static + dynamic", "total", "plus parameters, momentum and the batch"),
    Method("as deployed", other.as_deployed, "threads and oneDNN as found"),
    Method("`MemTracker`", other.tracker_peak, "one forward per root module only"),
    Method("memray high water", other.heap_high_water, "plus Python's bookkeeping", noisy=True),
    Method(
        "sum of operator outputs",
        other.sum_of_outputs,
        "no lifetimes; views and in-place results count again",
    ),
    Method("`tracemalloc`", other.python_heap, "sees no tensor data", noisy=True),
    Method(
        "`ru_maxrss` growth", other.maxrss_growth, "the warm-up has been there already", noisy=True
    ),
    Method("`VmHWM` after `clear_refs`", other.hwm_growth, "reused pages do not count", noisy=True),
    Method(
        "RSS polled every 10 ms",
        other.polled_growth,
        "the peak falls between two looks",
        noisy=True,
    ),
)

TWO_LAYERS, ONE_LAYER = "mlp-784-500-500-10", "mlp-784-500-10"
AUTOGRAD, CLOSED_FORM = {"implementation": "autograd"}, {"implementation": "closed_form"}
OWNERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("backprop, `torch.optim.SGD` with momentum", TWO_LAYERS, {"torch": "sgd"}),
    ("backprop, `torch.optim.Adam`", TWO_LAYERS, {"torch": "adam"}),
    ("backprop, Adam a tile at a time", TWO_LAYERS, {"optimizer": "adam"}),
    ("backprop, update fused into the backward pass", TWO_LAYERS, {"update": "fused"}),
    ("backprop, no gradient of a weight (`update=product`)", TWO_LAYERS, {"update": "product"}),
    ("Forward-Forward by autograd, **one** layer", ONE_LAYER, AUTOGRAD),
    ("Forward-Forward in closed form, one layer", ONE_LAYER, CLOSED_FORM),
    ("Forward-Forward in closed form, both layers", TWO_LAYERS, CLOSED_FORM),
)
"""Rows of the second table: title, model, and the options or torch's optimiser."""


# ---- in the child --------------------------------------------------------------------------------


def answer(job: Message, send: Send) -> None:
    """Measure one cell of the first table; ``job`` has ``method`` (its number), ``case``."""
    method, (model, rows) = METHODS[job["method"]], CASES[job["case"]]
    if isinstance(method.measure, str):
        algorithm = build_algorithm("backprop", model)
        predicted = predict(algorithm, rows)
        ram, _ = static_bytes(algorithm, *other.batch(model, rows))
        total = predicted.peak_bytes + sum(ram.values())
        send({"bytes": total if method.measure == "total" else getattr(predicted, method.measure)})
        return
    try:
        send({"bytes": method.measure(other.algorithm_step("backprop", model, rows))})
    except (ImportError, OSError) as error:
        send({"unavailable": str(error)})


def own(job: Message, send: Send) -> None:
    """Measure one row of the second table; ``job`` has ``owner`` (its number)."""
    _, model, options = OWNERS[job["owner"]]
    if "torch" in options:
        step = other.torch_step(model, 100, options["torch"])
    else:
        name = "forward_forward" if "implementation" in options else "backprop"
        step = other.algorithm_step(name, model, 100, options)
    profile = profile_step(step.run)
    peaks = [profile.phases[p].peak_bytes for p in ("forward", "gradient", "update")]
    send({"peaks": peaks, "peak": profile.peak_dynamic_bytes, "owner": profile.peak_phase})


# ---- the tables ----------------------------------------------------------------------------------


def methods_table(case: int) -> Iterable[str]:
    """Rows of the first table for one case."""
    yield "| method | bytes | of the exact figure | remark |"
    yield "|---|--:|--:|---|"
    truth = 0
    for number, method in enumerate(METHODS):
        repeats = NOISY_REPEATS if method.noisy else 1
        said = [
            other.in_child("peak_definitions:answer", {"method": number, "case": case})
            for _ in range(repeats)
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
        said = other.in_child("peak_definitions:own", {"owner": number})
        peaks = " | ".join(f"{peak:,}" for peak in said["peaks"])
        yield f"| {title} | `{model}` | {peaks} | {said['peak']:,} | {said['owner']} |"


def lines() -> Iterable[str]:
    """Both tables, line by line as they are made."""
    for case, (model, rows) in enumerate(CASES):
        yield from (f"**`{model}`, batch {rows}**", "")
        yield from methods_table(case)
        yield ""
    yield from owners_table()


if __name__ == "__main__":
    for line in lines():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
