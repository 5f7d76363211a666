"""The same peaks on CUDA, from the history that the caching allocator records.

::

    history   a(S0) f  a(x) a(y)  a(S1) f  a(gw) f(y)  a(S2) f     S: sentinel of one byte
    stream      BEGIN  A x  A y    >grad   A gw  F y    <grad      and nothing else of it

**Borders.** The history knows allocations, no phases, and no common clock with the host. So every
border is written into it: one byte is allocated and freed at once, labelled with a running number
through the allocator's own metadata, and dropped again when the history is read. A byte that the
program allocates has no such label, so the two cannot be confused, whatever their addresses. If
the numbers found are not exactly the numbers written, nothing is reported.

**Backward** runs on autograd's device thread, where annotations of the calling thread do not
reach (the metadata is thread-local as well). Order still holds: ``backward()`` blocks its caller
until the device thread has called, and so allocated, everything, and the allocator records all
threads of a device under one lock. What backward allocates stands between the borders around it.

**Sizes** are requested bytes: the allocator records what was asked for with ``alloc`` and with
both frees (``orig_size`` and ``requested_size`` in CUDACachingAllocator.cpp), not the multiple of
512 that it hands out, nor the segments that it keeps.

**End of life** is ``free_requested``, when the program gives a block up. ``free_completed`` follows
at once, or later if another stream may still use the block (``record_stream``); that wait depends
on how fast the device runs, not on what the program needs. It counts in the cross-check only: a
session is refused if the recorded history does not reproduce the peak of the allocator's own
``requested_bytes`` statistic, which does fall at ``free_completed``.

Not seen: memory that does not come from the caching allocator (the CUDA context, NCCL), and work
inside a replayed graph, whose memory was taken when it was captured.

Verified so far: reading of histories, on hand-built ones in the shape torch 2.13 documents; what
the allocator records, by reading its source. Not yet run on a GPU: ``tests/gpu`` does that.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch.utils._pytree import tree_leaves

from algorithms.phases import Category, observing

from .attribution import Attribution, carry_tags
from .events import MarkKind, Stream, StreamError
from .fold import fold
from .preflight import quiet_collector
from .session import SessionError, SessionObserver, storage_pointer
from .step import StepProfile, _call

SENTINEL_BYTES = 1
MAX_ENTRIES = 1 << 20  # three per allocation, over warm-up and all repeats
_LABEL = "trainfit|"
_CANARY_BYTES = 4099  # a prime nobody allocates by chance

Trace = Sequence[Mapping[str, Any]]
"""One device's part of ``torch.cuda.memory._snapshot()["device_traces"]``."""


class SentinelMark(NamedTuple):
    """A mark written into the allocator's history as one byte, allocated and freed at once.

    Attributes:
        address: Where the byte was.
        kind: What the mark says.
        name: Phase (ENTER, LEAVE) or category (TAG).
        pointer: Address of the block that a TAG speaks of.
        label: What the tensor is, for people (TAG).
    """

    address: int
    kind: MarkKind
    name: str = ""
    pointer: int = 0
    label: str = ""


def sentinel_label(number: int) -> str:
    """The metadata of sentinel ``number``, counted from 0 within a session."""
    return f"{_LABEL}{number}"


def cuda_stream(
    trace: Trace, marks: Sequence[SentinelMark], *, step: int = 0, max_entries: int = MAX_ENTRIES
) -> Stream:
    """Read a recorded history as the event stream that :func:`bench.profiler.fold.fold` takes.

    Blocks from before the history are known by the size in their free; segments, snapshots and
    refused allocations (``oom``) change nothing that is alive and are passed over.

    Args:
        trace: The history of one device, oldest entry first.
        marks: Every mark that was written during it, in order; mark ``k`` is sentinel ``k``.
        step: Which BEGIN ... END pair is the measured step, counted from 0.
        max_entries: How many entries the history was allowed to hold.

    Raises:
        SessionError: The history is full, so its beginning is lost, or the sentinels in it are
            not exactly those that were written.
        StreamError: An entry allocates or frees in a way that is not known here.
    """
    if len(trace) >= max_entries:
        raise SessionError(
            f"the allocator's history is full ({max_entries} entries) and has lost its beginning;"
            " profile with a larger max_entries, or with fewer repeats"
        )
    stream = Stream()
    current = -1  # number of BEGIN marks so far, less one
    for action, address, size, mark in _entries(trace, marks):
        if mark is None:
            if action == "alloc":
                stream.alloc(address, size)
            else:
                stream.free(address, size)
            continue
        match mark.kind:
            case MarkKind.ENTER:
                stream.enter(mark.name)
            case MarkKind.LEAVE:
                stream.leave(mark.name)
            case MarkKind.TAG:
                stream.tag(mark.pointer, mark.name, mark.label)
            case MarkKind.BEGIN:
                current += 1
                if current == step:
                    stream.begin()
            case MarkKind.END if current == step:
                stream.end()
    return stream


def _entries(
    trace: Trace, marks: Sequence[SentinelMark]
) -> Iterator[tuple[str, int, int, SentinelMark | None]]:
    """What the program allocated and gave up, and the marks; (action, address, size, mark)."""
    found = 0
    sentinels: set[int] = set()  # addresses that hold a sentinel now
    for entry in trace:
        action = str(entry["action"])
        if action == "alloc":
            address, size = int(entry["addr"]), int(entry["size"])
            sentinels.discard(address)
            label = str(entry.get("user_metadata", ""))
            if not label.startswith(_LABEL):
                yield action, address, size, None
                continue
            mark = marks[found] if found < len(marks) else None
            if (
                mark is None
                or label != sentinel_label(found)
                or (address, size) != (mark.address, SENTINEL_BYTES)
            ):
                wanted = f"mark {found} at {mark.address:#x}" if mark else "no more marks"
                raise SessionError(
                    f"the allocator's history shows {label!r} ({size} B at {address:#x}) where"
                    f" {wanted} was written"
                )
            found += 1
            sentinels.add(address)
            yield action, address, size, mark
        elif action == "free_requested":
            if entry["addr"] not in sentinels:
                yield action, int(entry["addr"]), int(entry["size"]), None
        elif action == "free_completed":
            pass  # the program gave the block up earlier: in this history, or before it began
        elif ("alloc" in action or "free" in action) and not action.startswith("segment_"):
            raise StreamError(f"unknown action {action!r} in the allocator's history")
    if found < len(marks):
        raise SessionError(
            f"{len(marks) - found} of {len(marks)} marks are missing from the allocator's history"
            f" (the first is number {found}): it was switched off, cleared or overwritten meanwhile"
        )


def requested_growth(trace: Trace, marks: Sequence[SentinelMark], *, step: int = 0) -> int:
    """Largest rise of requested bytes over a step, as the allocator itself counts them.

    Sentinels included, blocks counted up to ``free_completed``: from right after the sentinel of
    BEGIN to the one of END, the figure is the ``requested_bytes`` peak less its value at BEGIN.
    """
    bounds = [
        [number for number, mark in enumerate(marks) if mark.kind is kind][step]
        for kind in (MarkKind.BEGIN, MarkKind.END)
    ]
    first, last = map(sentinel_label, bounds)
    level = peak = 0
    inside = False
    for entry in trace:
        if entry["action"] == "alloc":
            if inside:
                level += int(entry["size"])
                peak = max(peak, level)
            elif entry.get("user_metadata") == first:
                inside, level = True, int(entry["size"])
            if entry.get("user_metadata") == last:
                break
        elif entry["action"] == "free_completed" and inside:
            level -= int(entry["size"])
    return peak


class CudaObserver:
    """Writes phase borders, and tags if asked to, into the recorded history of a device.

    May be called from any thread, hooks on autograd's device thread included.
    """

    def __init__(self, device: torch.device, *, tags: bool = False) -> None:
        self.marks: list[SentinelMark] = []
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
            self._write(MarkKind.TAG, str(category), storage_pointer(tensor), label)

    def begin(self) -> None:
        """A measured step begins."""
        self._write(MarkKind.BEGIN)

    def end(self) -> None:
        """A measured step has ended."""
        self._write(MarkKind.END)

    def _write(self, kind: MarkKind, name: str = "", pointer: int = 0, label: str = "") -> None:
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
            self.marks.append(SentinelMark(address, kind, name, pointer, label))


class DeviceAttribution(Attribution):
    """:class:`Attribution` for the tensors of one device.

    A dispatch mode is part of the thread state that autograd hands to its device threads, so
    operators of backward are seen here too.
    """

    def __init__(self, observer: CudaObserver, device: torch.device) -> None:
        super().__init__(cast("SessionObserver", observer))  # of which it uses phase and tag
        self._device = device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, then tag what it made."""
        given = self._tensors((args, kwargs))
        pointers = {storage_pointer(tensor) for tensor in given}
        for tensor in given:
            if tensor._base is None and tensor.requires_grad and tensor.is_leaf:
                self._trainable[storage_pointer(tensor)] = weakref.ref(tensor)
            if not func.is_view:
                self._touch(tensor)
        result = func(*args, **(kwargs or {}))
        for tensor in self._tensors(result):
            pointer = storage_pointer(tensor)
            if pointer not in pointers:
                name = func.overloadpacket.__name__
                kind = str(tensor.dtype).removeprefix("torch.")
                shape = "x".join(map(str, tensor.shape)) or "scalar"
                self._observer.tag(tensor, self._category(), f"{name} {kind} {shape}")
            elif func._schema.is_mutable and pointer in self._touched:
                self._touched[pointer].written = True
        return result

    def _tensors(self, tree: Any) -> list[torch.Tensor]:
        return [
            leaf
            for leaf in tree_leaves(tree)
            if isinstance(leaf, torch.Tensor)
            and leaf.device == self._device
            and leaf.layout == torch.strided
        ]


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

    As :func:`bench.profiler.step.profile_step`, but what is seen is one device, and every thread
    that allocates there. The step is called ``2 * warmup + repeats + 1`` times. Libraries run as
    they are set: cuDNN's benchmark mode may choose, and so allocate, differently in each repeat.
    The device's peak statistics are reset.

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
        TypeError: ``step`` returns a generator or coroutine, which has not run yet.
        Exception: Whatever ``step`` raises; recording is off again.
    """
    if warmup < 1 or repeats < 1:
        raise ValueError(f"warmup and repeats must be at least 1, got {warmup} and {repeats}")
    chosen = _cuda_device(device)
    with quiet_collector():
        streams = _clean_pass(step, warmup, repeats, chosen, max_entries)
        attributed, static = _attribution_pass(step, warmup, chosen, max_entries)
    reason = carry_tags(attributed, streams[0])
    first, *others = (fold(stream) for stream in streams)
    return StepProfile(
        peak_dynamic_bytes=first.peak_dynamic_bytes,
        peak_phase=first.peak_phase,
        phases=first.phases,
        live_at_peak=tuple(first.live_at_peak),
        timeline=first.timeline,
        static_bytes=sum(static.values()),
        static_categories={str(category): size for category, size in sorted(static.items())},
        entry_bytes=first.entry_bytes,
        left_after_step_bytes=first.left_after_step_bytes,
        deterministic=all(repeat.same_bytes(first) for repeat in others),
        repeats=repeats,
        attribution=reason,
    )


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
            _call(step)
        for _ in range(repeats):
            torch.cuda.synchronize(device)  # frees that wait for another stream can complete
            observer.begin()
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_stats(device)["requested_bytes.all.current"]
            _call(step)
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
) -> tuple[Stream, dict[Category, int]]:
    observer = CudaObserver(device, tags=True)
    mode = DeviceAttribution(observer, device)
    with recorded_history(device, max_entries) as read, observing(observer):
        for _ in range(warmup):
            _call(step)
        observer.begin()
        with mode:
            _call(step)
        observer.end()
        trace = read()
    stream = cuda_stream(trace, observer.marks, max_entries=max_entries)
    begin = next(m.position for m in stream.marks if m.kind is MarkKind.BEGIN)
    born = {
        pointer
        for pointer, size in zip(stream.pointers[begin:], stream.sizes[begin:], strict=True)
        if size > 0
    }
    return stream, mode.static(born)


def line_report(step: Callable[[], Any], *functions: Callable[..., Any]) -> str:
    """A step's CUDA memory by source line, from pytorch-memlab's line profiler.

    Its figures are peaks since the line before, of rounded active and of reserved bytes on the
    current device, static bytes included: good for finding the line, not for exact sums. What
    runs on another thread counts at the line that waits for it (``loss.backward()``).

    Args:
        step: Called once.
        functions: Python functions whose lines are reported; ``step`` itself if none is given.

    Raises:
        SessionError: No CUDA device.
        TypeError: Something given has no Python source (a module, a builtin).
    """
    if not torch.cuda.is_available():
        raise SessionError(
            "pytorch-memlab's line profiler records nothing on the CPU, and there is no CUDA"
            " device here; profile_step measures the CPU"
        )
    chosen = functions or (step,)
    for function in chosen:
        if not hasattr(function, "__code__"):
            raise TypeError(
                f"{function!r} has no Python source lines; give a function or a method, for a"
                " module its forward"
            )
    # Imported here because the import itself switches a profiler on, and prints without CUDA.
    from pytorch_memlab import LineProfiler  # noqa: PLC0415

    profiler = LineProfiler(*chosen, target_gpu=torch.cuda.current_device())
    tracing = sys.gettrace()  # the profiler takes the hook away from a debugger or coverage
    try:
        with profiler:
            _call(step)
    finally:
        sys.settrace(tracing)
    return str(profiler.display())
