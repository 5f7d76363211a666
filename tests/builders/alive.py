"""How many bytes are alive during a step, by an observer that saw every block being born.

Shares no code with the profiler. A public torch.profiler session spans the making of the model,
the data and the optimiser, two warm-up steps and the step that counts; the largest sum of its
allocations and frees during that step is the answer. It is exact in the first session of a process
only, so each step has a process of its own, forked before torch has profiled anything.

    python -m tests.builders.alive        prints {builder: bytes} as JSON
"""

from __future__ import annotations

import gc
import json
import os
import sys
import warnings

import torch
import torch._dynamo  # a session imports it if it is not there: once here, not in every process
from torch.profiler import ProfilerActivity, profile, record_function

from tests.builders.steps import BUILDERS, Step

WARMUP = 2


def bytes_alive(build) -> int:
    """The largest number of bytes alive at one instant of the third step."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    gc.collect()
    with (
        torch.backends.mkldnn.flags(enabled=False),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as session,
    ):
        step: Step = build()
        for _ in range(WARMUP):
            step()
        with record_function("the step"):
            step()
        with record_function("after it"):
            pass
    changes: list[tuple[int, int]] = []
    begin = end = 0
    waiting = list(session.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.tag.name == "Allocation":
            changes.append((event.start_time_ns, event.extra_fields.alloc_size))
        elif event.name == "the step":
            begin = event.start_time_ns
        elif event.name == "after it":
            end = event.start_time_ns
    level, peak = 0, 0
    for moment, change in sorted(changes, key=lambda each: each[0]):
        if moment >= end:
            break
        if moment >= begin:
            peak = max(peak, level)
        level += change
    return max(peak, level)


def main() -> None:
    answers: dict[str, int] = {}
    gc.collect()
    gc.freeze()  # what was imported is searched for garbage once, too
    for name, build in BUILDERS.items():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.write(writing, str(bytes_alive(build)).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            answers[name] = int(answer.read())
        os.waitpid(child, 0)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
