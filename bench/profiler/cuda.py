"""The same peaks on CUDA: one device's caching allocator, watched while a step runs.

``cuda_history`` says how phase borders come into the history that the allocator records, and how
it is read; here they are written, and recording is switched on and off.

Not seen: memory that does not come from the caching allocator (the CUDA context, NCCL), and work
inside a replayed graph, whose memory was taken when it was captured.

Verified so far: reading of histories, on hand-built ones in the shape torch 2.13 documents; what
the allocator records, by reading its source. Not yet run on a GPU: ``tests/gpu`` does that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trainfit.algorithms.phases import Category, observing
from trainfit.bench.profiler.attribution import Attribution
from trainfit.bench.profiler.carrying import carry_tags
from trainfit.bench.profiler.cuda_history import (
    MAX_ENTRIES,
    SENTINEL_BYTES,
    SentinelMark,
    Trace,
    cuda_stream,
    requested_growth,
    sentinel_label,
)
from trainfit.bench.profiler.determinism import quiet_collector
from trainfit.bench.profiler.events import MarkKind, Stream
from trainfit.bench.profiler.fold import Block
from trainfit.bench.profiler.places import NOWHERE, ModuleNames, Place, Places
from trainfit.bench.profiler.refusals import refuse_nothing
from trainfit.bench.profiler.session import SessionError, storage_pointer
from trainfit.bench.profiler.step import StepProfile, assemble, run_step

_CANARY_BYTES = 4099  # a prime nobody allocates by chance


class CudaObserver:
    """Writes phase borders, and tags if asked to, into the recorded history of a device.

    May be called from any thread, hooks on autograd's device thread included.
    """

    def __init__(
        self, device: torch.device, *, tags: bool = False, places: Places | None = None
    ) -> None:
        self.marks: list[SentinelMark] = []
        self._places = places
        self._device = device
        self._tags = tags
        self._open: list[str] = []
        self._writing = threading.Lock()  # marks stand in the order of their sentinels

    @property
    def phase(self) -> str:
        """The innermost open phase, empty outside of all."""
        return self._open[-1] if self._open else ""

    def enter(self, name: str) -> None:
        """A phase begins."""
        self._write(MarkKind.ENTER, name)
        self._open.append(name)

    def leave(self, name: str) -> None:
        """A phase ends; that it is the innermost one is for the fold to judge."""
        self._write(MarkKind.LEAVE, name)
        if name in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(name)]

    def tag(self, tensor: torch.Tensor, category: Category, label: str) -> None:
        """A tensor is for something."""
        if self._tags and tensor.device == self._device:
            place = self._places.here() if self._places else NOWHERE
            self._write(MarkKind.TAG, str(category), storage_pointer(tensor), label, place)

    def touch(self, number: int) -> None:
        """An operator is given tensors: entry ``number`` of a list that the caller keeps."""
        self._write(MarkKind.TOUCH, label=str(number))

    def scratch(self, operator: str) -> None:
        """Nothing: kernels of a device run later than the operator that starts them."""

    def begin(self) -> None:
        """A measured step begins."""
        self._write(MarkKind.BEGIN)

    def end(self) -> None:
        """A measured step has ended."""
        self._write(MarkKind.END)

    def _write(
        self,
        kind: MarkKind,
        name: str = "",
        pointer: int = 0,
        label: str = "",
        place: Place = NOWHERE,
    ) -> None:
        if torch.cuda.is_current_stream_capturing():
            raise SessionError(
                "the step captures a CUDA graph, which takes memory from a pool of its own and"
                " keeps it; capture before measuring, or measure the step without a graph"
            )
        memory = torch.cuda.memory
        with self._writing:
            kept = memory._get_memory_metadata()
            memory._set_memory_metadata(sentinel_label(len(self.marks)))
            try:
                # The allocator itself, not a tensor: no operator that a dispatch mode would see.
                address = memory.caching_allocator_alloc(SENTINEL_BYTES, self._device)
                memory.caching_allocator_delete(address)
            finally:
                memory._set_memory_metadata(kept)
            self.marks.append(SentinelMark(address, kind, name, pointer, label, *place))


@contextmanager
def recorded_history(
    device: torch.device, max_entries: int = MAX_ENTRIES
) -> Iterator[Callable[[], Trace]]:
    """Let the caching allocator record inside the block; gives a reader of what it has so far.

    Recording is switched off at the end, also by an exception.

    Raises:
        SessionError: Somebody records already, the caching allocator is not the native one, or
            tensors do not come from it.
    """
    memory = torch.cuda.memory
    if torch._C._cuda_isHistoryEnabled():
        raise SessionError(
            "the CUDA memory history is being recorded already; switch it off with"
            " torch.cuda.memory._record_memory_history(None) before measuring"
        )
    if torch.cuda.get_allocator_backend() != "native":
        raise SessionError(
            f"the CUDA allocator {torch.cuda.get_allocator_backend()!r} records no history; only"
            " torch's native caching allocator can be measured"
        )

    def read() -> Trace:
        trace: Trace = memory._snapshot()["device_traces"][device.index]
        return trace

    memory._record_memory_history(
        "all", context=None, stacks="python", max_entries=max_entries, clear_history=True
    )
    try:
        _canary(device)
        if not any(e["action"] == "alloc" and e["size"] == _CANARY_BYTES for e in read()):
            raise SessionError(
                "tensors do not come from the CUDA caching allocator (the canary is missing from"
                " its history); is PYTORCH_NO_CUDA_MEMORY_CACHING set?"
            )
        yield read
    finally:
        memory._record_memory_history(None)


def _canary(device: torch.device) -> None:
    torch.empty(_CANARY_BYTES, dtype=torch.uint8, device=device)


def profile_cuda_step(
    step: Callable[[], Any],
    *,
    warmup: int = 2,
    repeats: int = 3,
    device: torch.device | str | int | None = None,
    max_entries: int = MAX_ENTRIES,
) -> StepProfile:
    """Measure the peak dynamic memory of a training step on a CUDA device, in requested bytes.

    As :func:`trainfit.bench.profiler.step.profile_step`, but what is seen is one device, and every
    thread that allocates there. The step is called ``2 * warmup + repeats + 1`` times. Libraries
    run as they are set: cuDNN's benchmark mode may choose, and so allocate, differently in each
    repeat. The device's peak statistics are reset.

    Args:
        step: Any callable without arguments that does one training step.
        warmup: Steps before the measured ones, so that lazy state exists. At least 1.
        repeats: Measured steps that must agree.
        device: Which CUDA device; the current one if not given. The step's other devices, and
            the host, are not measured.
        max_entries: How long a history the allocator may record.

    Raises:
        SessionError: No CUDA device, the history cannot be recorded or is incomplete, or it
            contradicts the allocator's statistics.
        StreamError: The allocation events contradict each other.
        NothingMeasuredError: Nothing was seen on that device.
        TypeError: ``step`` returns what has not run yet.
        Exception: Whatever ``step`` raises; recording is off again.
    """
    if warmup < 1 or repeats < 1:
        raise ValueError(f"warmup and repeats must be at least 1, got {warmup} and {repeats}")
    chosen = _cuda_device(device)
    with quiet_collector():
        streams = _clean_pass(step, warmup, repeats, chosen, max_entries)
        attributed, static, mode = _attribution_pass(step, warmup, chosen, max_entries)
    refuse_nothing(streams, mode.saw_nothing, mode.elsewhere, step, watched=str(chosen))
    return assemble(streams, static, carry_tags(attributed, streams[0]))


def _cuda_device(device: torch.device | str | int | None) -> torch.device:
    if not torch.cuda.is_available():
        raise SessionError("there is no CUDA device here; profile_step measures the CPU")
    if device is None:
        return torch.device("cuda", torch.cuda.current_device())
    given = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if given.type != "cuda":
        raise ValueError(
            f"device must be a CUDA device, got {given}; profile_step measures the CPU"
        )
    index = torch.cuda.current_device() if given.index is None else given.index
    return torch.device("cuda", index)


def _clean_pass(
    step: Callable[[], Any], warmup: int, repeats: int, device: torch.device, max_entries: int
) -> list[Stream]:
    """Warm up and measure in one history, so that blocks kept from step to step are known."""
    observer = CudaObserver(device)
    grown: list[int] = []
    with recorded_history(device, max_entries) as read, observing(observer):
        for _ in range(warmup):
            run_step(step)
        for _ in range(repeats):
            torch.cuda.synchronize(device)  # frees that wait for another stream can complete
            observer.begin()
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_stats(device)["requested_bytes.all.current"]
            run_step(step)
            observer.end()
            grown.append(torch.cuda.memory_stats(device)["requested_bytes.all.peak"] - before)
        torch.cuda.synchronize(device)  # a failed kernel is reported here, not by the next user
        trace = read()
    streams = [
        cuda_stream(trace, observer.marks, step=number, max_entries=max_entries)
        for number in range(repeats)
    ]
    for number, counted in enumerate(grown):
        recorded = requested_growth(trace, observer.marks, step=number)
        if recorded != counted:
            raise SessionError(
                f"the allocator's history rises by {recorded} B in repeat {number}, its"
                f" requested_bytes statistic by {counted} B: the history is not complete"
            )
    return streams


def _attribution_pass(
    step: Callable[[], Any], warmup: int, device: torch.device, max_entries: int
) -> tuple[Stream, list[Block], Attribution]:
    places = Places(ModuleNames())
    observer = CudaObserver(device, tags=True, places=places)
    mode = Attribution(observer, device)
    with recorded_history(device, max_entries) as read, observing(observer):
        for _ in range(warmup):
            run_step(step)
        observer.begin()
        with places.watching(), mode.watching():
            run_step(step)
        observer.end()
        trace = read()
    stream = cuda_stream(trace, observer.marks, max_entries=max_entries)
    return stream, mode.static(stream, {}), mode
