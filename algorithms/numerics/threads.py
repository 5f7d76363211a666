"""Compiled kernels on as many threads as torch's operators use.

A kernel is called once per thread for a range of rows that nobody else writes, with scratch of its
own, so results do not depend on the number of threads. The measuring of bytes uses one thread;
with more, there is as much scratch for each.

Kernels release the interpreter's lock, so Python's own threads are enough: no second pool of
OpenMP threads has to agree with torch's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NamedTuple

import torch

LEAST = 1 << 26
"""Multiplications that are worth a thread: 0.4 ms of INT8 products at their fastest. Handing work
over takes a tenth of a millisecond: a product of 50 million gains a quarter from a second thread,
and a whole step of such products loses it again; one of 800 million is 1.85 times as fast.
"""


class Part(NamedTuple):
    """A range of rows.

    Attributes:
        start: First row.
        stop: Row after the last one.
    """

    start: int
    stop: int


def parts_of(rows: int, unit: int, work: int) -> list[Part]:
    """Ranges of rows, one per thread of torch or fewer.

    Args:
        rows: How many there are.
        unit: All parts but the last one are a multiple of this.
        work: Multiplications for all rows.
    """
    units = -(-rows // unit)
    count = max(1, min(torch.get_num_threads(), units, work // LEAST))
    share = -(-units // count) * unit
    return [Part(start, min(start + share, rows)) for start in range(0, rows, share)]


def call(
    kernel: Callable[..., Any],
    parts: list[Part],
    operands: tuple[object, ...],
    scratch: Sequence[tuple[torch.Tensor, ...]],
    rest: tuple[object, ...] = (),
) -> list[Any]:
    """Call a compiled kernel for every range of rows: the first on this thread, others on theirs.

    Args:
        kernel: Takes operands, scratch, the rest, the first row and the one after the last.
        parts: The ranges.
        operands: Tensors, passed as arrays.
        scratch: The tensors of each range.
        rest: Tensors and numbers.

    Returns:
        What the kernel returned for each range.

    Raises:
        Exception: What one of the calls raised, after all have ended.
    """
    before, after = _arrays(operands), _arrays(rest)
    calls = [
        partial(kernel, *before, *_arrays(own), *after, part.start, part.stop)
        for own, part in zip(scratch, parts, strict=True)
    ]
    if len(calls) == 1:
        return [calls[0]()]
    futures = [_pool(len(calls) - 1).submit(call) for call in calls[1:]]
    try:
        first = calls[0]()
    finally:
        wait(futures)
    return [first, *(future.result() for future in futures)]


def _arrays(values: Iterable[object]) -> list[object]:
    return [value.numpy() if isinstance(value, torch.Tensor) else value for value in values]


_pools: dict[int, ThreadPoolExecutor] = {}


def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that wait for work; those of a parent process do not exist in its children."""
    if workers not in _pools:
        _pools[workers] = ThreadPoolExecutor(workers, thread_name_prefix="trainfit-kernels")
    return _pools[workers]


if hasattr(os, "register_at_fork"):  # Windows has none
    os.register_at_fork(after_in_child=_pools.clear)
