"""The settings under which peaks are the same on every machine, and who else might allocate.

Kernels that depend on the instruction set or on the number of threads allocate scratch memory
that differs from machine to machine; with oneDNN off and one thread they do not.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trainfit.bench.profiler.session import SessionError, mark, record


class ForeignThreadError(SessionError):
    """Another thread ran tensor operators during the step; its memory cannot be seen."""


@contextmanager
def pinned() -> Iterator[None]:
    """One thread, oneDNN off, inside the block; both are put back after it."""
    threads = torch.get_num_threads()
    onednn = torch._C._get_mkldnn_enabled()
    torch.set_num_threads(1)
    torch._C._set_mkldnn_enabled(False)  # the public switch also sets TF32, and warns about it
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(onednn)
        torch.set_num_threads(threads)


@contextmanager
def quiet_collector(generation: int = 2) -> Iterator[None]:
    """Collect garbage now and hold the collector, so that frees happen where the step frees.

    Args:
        generation: The oldest that is collected. Looking at all of them takes as long as there are
            objects in the process; garbage that is left stays as it is until the end of the block.
    """
    gc.collect(generation)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def timed_frees() -> Iterator[None]:
    """Mark the death of every tensor that exists now.

    The allocator does not know the size of a block that it handed out before the first session and
    drops the event when it is freed; a finaliser on the storage puts it back, at its time. Blocks
    that a session has seen keep their size in later ones, so one search serves a whole profile.
    """
    watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def watch(storage: torch.UntypedStorage) -> None:
        pointer, size = storage.data_ptr(), storage.nbytes()

        def died(_: object) -> None:
            with mark("freed", pointer, size):
                pass

        watched[pointer] = weakref.ref(storage, died)

    for tensor in _live_tensors():
        if tensor.device.type == "cpu" and tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage.nbytes() and storage.data_ptr() and storage.data_ptr() not in watched:
                watch(storage)
            del storage
        del tensor
    try:
        yield
    finally:
        watched.clear()


def _live_tensors() -> Iterator[torch.Tensor]:
    """Every tensor that the collector knows; there may be a million other objects.

    By exact type, not ``isinstance``: lazy objects answer that by importing what they stand for.
    """
    types = set(_with_subclasses(torch.Tensor))
    found = [thing for thing in gc.get_objects() if type(thing) in types]
    while found:
        yield found.pop()


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for each in subclasses:
        yield from _with_subclasses(each)


def refuse_foreign_threads(step: Callable[[], Any]) -> None:
    """Run a step once and raise if any other thread runs a tensor operator meanwhile.

    A session sees the allocations of its own thread only, so a step that hands work to threads
    would look too small. This pass records operators instead, of all threads.

    Raises:
        ForeignThreadError: Another thread ran an operator.
    """

    def program() -> None:
        with mark("step"):
            step()

    own: set[int] = set()
    operators: dict[int, str] = {}

    def walk(events: list[Any]) -> None:
        for event in events:
            if event.name == "trainfit|step":
                own.add(event.start_tid)
            elif event.name.startswith("aten::"):
                operators.setdefault(event.start_tid, event.name)
            walk(event.children)

    walk(record(program, all_threads=True))
    if not own:
        raise SessionError("the profiler session does not see this thread's own marks")
    foreign = {name for thread, name in operators.items() if thread not in own}
    if foreign:
        raise ForeignThreadError(
            f"another thread ran {', '.join(sorted(foreign))} during the step; only the memory of"
            " the measuring thread can be seen, so run the work in that thread (for a DataLoader:"
            " num_workers=0)"
        )
