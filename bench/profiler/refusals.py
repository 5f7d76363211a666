"""Steps that cannot be measured, and what to say of them: what was seen, and what would help."""

from __future__ import annotations

import inspect
import multiprocessing
import resource
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from torch.utils.data import dataloader

from trainfit.bench.profiler.events import MarkKind, Stream
from trainfit.bench.profiler.session import SessionError

_SOMETHING_BYTES = 4096  # of Python objects; a call makes some


class NothingMeasuredError(SessionError):
    """A step ran and nothing that could be measured was seen: that is not 0 bytes."""


class ForeignProcessError(SessionError):
    """The step takes tensors from other processes, whose memory cannot be seen."""


def refuse_unfinished(result: object) -> None:
    """Raise if what a step returned shows that it has not run to its end.

    Raises:
        TypeError: It is a generator, a coroutine or another awaitable, an iterator, or a function.
    """
    kind = type(result).__name__
    if inspect.isgenerator(result) or inspect.iscoroutine(result):
        result.close()
    if inspect.isgenerator(result) or inspect.isasyncgen(result) or inspect.isawaitable(result):
        raise TypeError(
            f"the step returned a {kind}, so nothing has run yet; run it to its end inside the step"
        )
    if _is_lazy_iterator(result):
        raise TypeError(
            f"the step returned an iterator ({kind}), so what it stands for has not run yet; run it"
            " to its end inside the step: for _ in ...: pass"
        )
    if isinstance(result, (FunctionType, BuiltinFunctionType, MethodType)) or kind == "partial":
        name = getattr(result, "__name__", kind)
        raise TypeError(
            f"the step returned the function {name!r}, which has not run; if the step makes steps,"
            " call it: profile_step(make_step()), otherwise call what it returns inside it"
        )


def _is_lazy_iterator(result: object) -> bool:
    """Iterators of Python's own, which do their work when they are asked for more."""
    if not (hasattr(type(result), "__next__") and hasattr(type(result), "__iter__")):
        return False
    return type(result).__module__ in {"builtins", "itertools"} and not isinstance(
        result, (type(iter([])), type(iter(())), type(iter({})), type(iter("")), type(iter(b"")))
    )


@contextmanager
def refuse_worker_processes() -> Iterator[None]:
    """Raise if, inside the block, batches come from worker processes of a DataLoader.

    Raises:
        ForeignProcessError: They do.
    """
    kind = dataloader._MultiProcessingDataLoaderIter
    take = kind._next_data

    def refuse(self: Any) -> Any:
        raise ForeignProcessError(
            f"the step takes batches from a DataLoader with num_workers={self._num_workers}: they"
            " are made in other processes, ahead of time, in memory that cannot be seen here and"
            " differs from run to run; measure with num_workers=0, or take the batch before the"
            " step"
        )

    kind._next_data = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind._next_data = take  # type: ignore[method-assign]


def refuse_nothing(
    streams: Sequence[Stream],
    saw_nothing: bool,
    elsewhere: set[str],
    step: Callable[[], Any],
    *,
    watched: str = "cpu",
) -> None:
    """Raise if no operator was given a tensor and nothing was allocated in any repeat.

    Args:
        streams: The repeats.
        saw_nothing: No operator was seen.
        elsewhere: Devices on which operators ran that are not watched.
        step: Called once more, to find out where its memory is.
        watched: The device that is.

    Raises:
        NothingMeasuredError: So it is.
    """
    if not saw_nothing:
        return
    if elsewhere:
        places = " and ".join(sorted(elsewhere))
        raise NothingMeasuredError(
            f"the step runs on tensors of device {places} only, and the memory of {watched} is what"
            f" is measured here; {_HELPS.get(places, 'make its tensors there')}"
        )
    if any(_events(stream) for stream in streams):
        return
    raise NothingMeasuredError(
        "nothing was seen that could be measured: the step made no tensor and ran no operator of"
        f" torch, in this process and thread; {_what_else(step)}. Only memory that torch allocates"
        " is measured, so do the work with torch tensors, here; if the step only prepares the work,"
        " call what does it inside the step"
    )


_HELPS = {
    "cuda": "profile_cuda_step measures CUDA",
    "cpu": "profile_step measures the CPU",
    "meta": "tensors on meta have no memory: make them on a device",
}


def _events(stream: Stream) -> int:
    begin = next(m.position for m in stream.marks if m.kind is MarkKind.BEGIN)
    end = next(m.position for m in stream.marks if m.kind is MarkKind.END)
    return end - begin


class ChildProcesses:
    """Whether child processes ended since, or still run: their memory is in no figure."""

    def __init__(self) -> None:
        self._faults = _faults_of_children()

    @property
    def ran(self) -> bool:
        """Whether any did."""
        return _faults_of_children() > self._faults or bool(multiprocessing.active_children())

    def notes(self, elsewhere: set[str]) -> Iterator[str]:
        """What to say of a step that was measured all the same.

        Args:
            elsewhere: Devices on which operators ran that are not watched.
        """
        if self.ran:
            yield "child processes ran beside the step; their memory is not counted"
        for device in sorted(elsewhere - {"meta"}):
            yield f"operators ran on {device} as well; its memory is not counted"


def _faults_of_children() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt


def _what_else(step: Callable[[], Any]) -> str:
    """What a step does that is not torch's, from running it once more."""
    children = ChildProcesses()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        first, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not tracing:
            tracemalloc.stop()
    if children.ran:
        return "it runs child processes, whose memory is not this one's"
    if peak - first > _SOMETHING_BYTES:
        return (
            f"it holds up to {peak - first:,} B of Python objects and numpy arrays, which are not"
            " torch's"
        )
    return "it does next to nothing"
