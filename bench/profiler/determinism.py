"""The settings under which peaks are the same on every machine, and who else might allocate.

Kernels that depend on the instruction set or on the number of threads allocate scratch memory
that differs from machine to machine; with oneDNN off and one thread they do not.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from trainfit.bench.profiler.session import SessionError, mark, record, words


class ForeignThreadError(SessionError):
    """Another thread ran tensor operators during the step; its memory cannot be seen."""


@contextmanager
def pinned() -> Iterator[None]:
    """One thread, oneDNN off, inside the block; both are put back after it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with onednn(False):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Have oneDNN on or off inside the block, as before after it."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(enabled)  # the public switch also sets TF32, and warns about it
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


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


@dataclass(frozen=True)
class Heap:
    """What existed when a profile began.

    Attributes:
        storages: Bytes of every storage in host memory, by address.
        modules: Every ``nn.Module``.
    """

    storages: Mapping[int, int]
    modules: Sequence[weakref.ref[torch.nn.Module]]


@contextmanager
def timed_frees() -> Iterator[Heap]:
    """Mark the death of every tensor that exists now.

    The allocator does not know the size of a block that it handed out before the first session and
    drops the event when it is freed; a finaliser on the storage puts it back, at its time. Blocks
    that a session has seen keep their size in later ones, so one search serves a whole profile.
    """
    watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}
    sizes: dict[int, int] = {}

    def watch(storage: torch.UntypedStorage, pointer: int, size: int) -> None:
        def died(_: object) -> None:
            with mark("freed", pointer, size):
                pass

        watched[pointer] = weakref.ref(storage, died)
        sizes[pointer] = size

    tensors, modules = _live_objects()
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        while tensors:
            storage = host_storage(tensors.pop())
            if storage is not None:
                pointer, size = storage.data_ptr(), storage.nbytes()
                if size and pointer and pointer not in watched:
                    watch(storage, pointer, size)
            del storage
    try:
        yield Heap(sizes, modules)
    finally:
        watched.clear()


def host_storage(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """The storage of a plain tensor in host memory; None of any other.

    Whatever is alive in a process is asked, so no tensor may object: fake and functional tensors
    of a compiler, parameters that have no size yet, wrappers around other tensors (which are seen
    for themselves), tensors of a transform that is over, subclasses that answer no question.
    """
    try:
        if not is_plain(tensor) or tensor.device.type != "cpu":
            return None
        storage = tensor.untyped_storage()
        storage.data_ptr()  # which a fake tensor refuses
        return storage
    except Exception:
        return None


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor has elements in a strided storage of its own that may be looked at."""
    return (
        tensor.layout == torch.strided
        and not tensor.is_nested
        and not torch.nn.parameter.is_lazy(tensor)
        and not torch._is_functional_tensor(tensor)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and not torch._C._is_cow_tensor(tensor)  # type: ignore[attr-defined]
    )


def _live_objects() -> tuple[list[torch.Tensor], list[weakref.ref[torch.nn.Module]]]:
    """Every tensor and module that the collector knows; there may be a million other objects.

    By exact type, not ``isinstance``: lazy objects answer that by importing what they stand for.
    """
    of_tensors = set(_with_subclasses(torch.Tensor))
    of_modules = set(_with_subclasses(torch.nn.Module))
    of_either = of_tensors | of_modules
    found = [thing for thing in gc.get_objects() if type(thing) in of_either]
    tensors = [thing for thing in found if type(thing) in of_tensors]
    modules = [weakref.ref(thing) for thing in found if type(thing) in of_modules]
    return tensors, modules


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for each in subclasses:
        yield from _with_subclasses(each)


def collect_young() -> None:
    """Collect what became garbage since the collector was held, and look at nothing older."""
    gc.collect(0)


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
            if words(event.name) == ("step",):
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
