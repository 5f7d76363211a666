"""One side of a comparison, in its own process: blocks of steps, each when its turn comes.

A turn is a line in a FIFO: how many steps to take, 0 for warming up. Between turns this process is
blocked in a read, so it takes nothing from the side that runs. The end of the FIFO ends it.

Every block begins with a step that is not timed: it finds the caches as the other side left them,
and uses up what the scheduler grants a process that has slept.

:mod:`trainfit.bench.latency_comparison.paired` is the other end.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any, TextIO

import torch

from trainfit.algorithms import Algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.latency_comparison.blocks import Block, Counters
from trainfit.bench.latency_comparison.processes import WARM_UP
from trainfit.bench.processes.child import Message, Send
from trainfit.bench.profiler.determinism import quiet_collector
from trainfit.bench.profiler.latency import warm_up
from trainfit.bench.records.schema import Workload
from trainfit.bench.training.train import build, epoch, fitted, load

COUNTERS = Counters()
"""What steps are timed by."""

LONG_STEP_SECONDS = 1.0
"""From here on, of CPU time, the first step is timed as well: cold caches are lost in it."""


def run_side(job: Message, send: Send) -> None:
    """Prepare a workload, then take blocks of its steps, turn by turn.

    Args:
        job: ``workload`` (a dumped :class:`~trainfit.bench.records.schema.Workload`), ``stage``
        (its number),
            ``threads``, ``data_root`` and ``turns``, the path of the FIFO.
        send: Gets ``{"ready": {"stage": ..., "stages": ..., "model": ..., "onednn": ...}}``, then
            ``{"step_seconds": ..., "more": {...}}`` after every turn: the time of a step, on
            average over a block, and what else is known of the block, as
            :class:`~trainfit.bench.latency_comparison.blocks.Block` names it.

    Raises:
        ConfigurationError: The workload does not exist or does not fit together.
    """
    workload = Workload.model_validate(job["workload"])
    torch.set_num_threads(job["threads"])
    with _open_turns(job["turns"]) as turns:
        send({"doing": "data"})
        data = load(workload, job["data_root"])
        workload = fitted(workload, data)
        algorithm = build(workload)
        algorithm.check_batch(workload.batch_size)
        stage = _enter(algorithm, job["stage"])
        x_BI, y_B = next(epoch(workload, data, 0))
        x_BF = algorithm.stage_data(x_BI)
        del data
        send(
            {
                "ready": {
                    "stage": stage,
                    "stages": len(algorithm.stages),
                    "model": workload.model,
                    "onednn": bool(torch._C._get_mkldnn_enabled()),
                }
            }
        )
        with quiet_collector():
            _take_turns(lambda: algorithm.step(x_BF, y_B), turns, send)


def _open_turns(path: str) -> TextIO:
    """Open the FIFO for reading; if nobody writes to it any more, that is its end, no wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, encoding="ascii")


def _take_turns(step: Callable[[], None], turns: TextIO, send: Send) -> None:
    for turn in turns:
        steps = int(turn)
        block = _warmed_up(step) if steps == WARM_UP else take_block(step, steps, COUNTERS)
        gc.collect(0)  # before the other side's turn; held while steps are timed
        more = block._asdict()
        send({"step_seconds": more.pop("seconds"), "more": more})


def take_block(step: Callable[[], None], steps: int, counters: Counters) -> Block:
    """Take a step that is not timed, then so many that are; of long steps only one, and timed.

    Args:
        step: Takes a step.
        steps: How many are timed, at least one.
        counters: What they are timed by.
    """
    first = Block.of(step, 1, counters)
    return first if first.cost() >= LONG_STEP_SECONDS else Block.of(step, steps, counters)


def _warmed_up(step: Callable[[], None]) -> Block:
    """Take steps until they no longer become faster; returns one of the last."""
    taken: list[Block] = []

    def seconds() -> float:
        taken.append(Block.of(step, 1, COUNTERS))
        return taken[-1].seconds

    warm_up(seconds)
    return sorted(taken[-3:], key=Block.cost)[1]


def _enter(algorithm: Algorithm[Any], index: int) -> str:
    """Enter a stage by number; returns its name."""
    stages = algorithm.stages
    if not 0 <= index < len(stages):
        raise ConfigurationError(
            f"{algorithm.name} has {len(stages)} stages here ({', '.join(stages)}), no number"
            f" {index}; use 0 to {len(stages) - 1}"
        )
    algorithm.enter_stage(index)
    return stages[index]
