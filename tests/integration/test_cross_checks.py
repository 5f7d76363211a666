"""Two independent measurements of the same bytes: torch's MemTracker, and memray on the heap.

Every step runs in a process of its own, whose heap nothing else has touched.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.reference_methods import (
    Prepared,
    algorithm_step,
    heap_high_water,
    in_child,
    torch_step,
    tracker_peak,
)
from trainfit.bench.processes.child import Message, Send
from trainfit.bench.profiler import profile_step

MLP = "mlp-784-500-500-10"

HEAP_ALLOWANCE = 48 * 1024
"""Bytes by which the heap's high water may exceed the tensors alive at the peak.

The heap also holds what describes those tensors: autograd's nodes, tensor and storage objects, the
engine's queue, Python frames, and whatever the first traced call leaves behind. That came to
4,610 to 27,252 bytes for steps of 0.1 to 142 MB, and does not grow with the width of a net. Nearly
twice the most is allowed, since it is a matter of Python's and torch's versions. Still a quarter of
one activation of the 500-wide nets below; only on the small net could an activation hide in it,
and there MemTracker would see it.
"""

OPERAND = 12
"""A Python number as operand: a double and the float32 made of it, both inside one operator.

MemTracker sees what operators return and so misses them where they stand at the peak.
"""


def measure(job: Message, send: Send) -> None:
    """In the child: one step by all three methods."""
    name, *arguments = job["step"]
    step = (
        torch_step(*arguments)
        if name == "torch"
        else algorithm_step(name, *arguments, stage=job["stage"])
    )
    # First in the process, before the other methods have called anything for the first time.
    heap = heap_high_water(step)
    profile = profile_step(step.run)
    send(
        {
            "heap": heap,
            "tracker": tracker_peak(step),
            "exact": profile.peak_dynamic_bytes,
            "deterministic": profile.deterministic,
        }
    )


def call_twice(job: Message, send: Send) -> None:
    """In the child: a step that calls the forward of its root module twice."""
    net = torch.nn.Linear(8, 4)
    x = torch.ones(2, 8)

    def run() -> None:
        net(x)
        net(x)

    try:
        tracker_peak(Prepared(run, [x, *net.parameters()]))
    except NotImplementedError as error:
        send({"raised": str(error)})


STEPS: list[Any] = [
    # step, trained stage, known peak, bytes of it that MemTracker cannot see
    pytest.param(("torch", MLP, 100, "sgd"), 0, 2_792_048, 0, id="torch-sgd"),
    pytest.param(("torch", MLP, 100, "adam"), 0, 5_728_052, OPERAND, id="torch-adam"),
    pytest.param(("backprop", MLP, 100), 0, 2_792_048, 0, id="backprop"),
    pytest.param(
        ("backprop", MLP, 100, {"optimizer": "adam"}), 0, 2_792_048, 0, id="backprop-adam"
    ),
    pytest.param(("backprop", MLP, 100, {"update": "fused"}), 0, 1_770_008, 0, id="backprop-fused"),
    pytest.param(("backprop", "mlp-64-128-128-10", 32), 0, 120_880, 0, id="backprop-small"),
    # Goldens keep these figures; here it counts that three methods agree on them.
    pytest.param(("forward_forward", MLP, 100), 0, None, None, id="forward-forward"),
    pytest.param(
        ("tinyfoa", MLP, 100, {"variant": "released"}), 1, None, None, id="tinyfoa-released"
    ),
    pytest.param(("tinyfoa", MLP, 100, {}), 1, None, None, id="tinyfoa-described"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "stage", "known", "unseen"), STEPS)
def test_profiler_tracker_and_heap_agree(
    step: tuple[Any, ...], stage: int, known: int | None, unseen: int | None
) -> None:
    pytest.importorskip("memray", reason="the heap is read with memray")

    found = in_child(f"{__name__}:measure", {"step": step, "stage": stage}, timeout_seconds=60)

    assert found["deterministic"]
    assert found["exact"] == (known or found["exact"])
    assert found["exact"] - found["tracker"] in ((0, OPERAND) if unseen is None else (unseen,))
    assert found["exact"] <= found["heap"] <= found["exact"] + HEAP_ALLOWANCE


def make_small_objects(job: Message, send: Send) -> None:
    """In the child: a step that makes nothing but objects of Python's."""

    def run() -> None:
        made = [bytes(300) for _ in range(4000)]
        del made

    send({"heap": heap_high_water(Prepared(run, []))})


def test_small_objects_of_python_are_not_a_new_arena() -> None:
    pytest.importorskip("memray", reason="the heap is read with memray")

    found = in_child(f"{__name__}:make_small_objects", {}, timeout_seconds=60)

    assert found["heap"] < HEAP_ALLOWANCE + 4000 * 8  # and the list itself


def test_tracker_refuses_a_second_forward_of_a_root_module() -> None:
    # Why MemTracker is a cross-check and not the profiler: Forward-Forward written with modules
    # calls each of them twice in a step, and so do two plain steps in a row.
    found = in_child(f"{__name__}:call_twice", {}, timeout_seconds=60)

    assert "multiple iterative calls" in found["raised"]
