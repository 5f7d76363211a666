"""Histories of the CUDA caching allocator, read as event streams: the pure half, no device.

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
``requested_bytes`` statistic, which does fall at ``free_completed`` (:func:`requested_growth`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trainfit.bench.profiler.events import MarkKind, Stream, StreamError
from trainfit.bench.profiler.session import SessionError

SENTINEL_BYTES = 1
MAX_ENTRIES = 1 << 20  # three per allocation, over warm-up and all repeats
_LABEL = "trainfit|"

Trace = Sequence[Mapping[str, Any]]
"""One device's part of ``torch.cuda.memory._snapshot()["device_traces"]``."""


class SentinelMark(NamedTuple):
    """A mark written into the allocator's history as one byte, allocated and freed at once.

    Attributes:
        address: Where the byte was.
        kind: What the mark says.
        name: Phase (ENTER, LEAVE) or category (TAG).
        pointer: Address of the block that a TAG speaks of.
        label: What the tensor is, for people (TAG); a number (TOUCH).
        module: Path of the module that ran (TAG).
        line: Line of code that ran (TAG).
    """

    address: int
    kind: MarkKind
    name: str = ""
    pointer: int = 0
    label: str = ""
    module: str = ""
    line: str = ""


def sentinel_label(number: int) -> str:
    """The metadata of sentinel ``number``, counted from 0 within a session."""
    return f"{_LABEL}{number}"


def cuda_stream(
    trace: Trace, marks: Sequence[SentinelMark], *, step: int = 0, max_entries: int = MAX_ENTRIES
) -> Stream:
    """Read a recorded history as the event stream that ``fold`` takes.

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
                stream.tag(mark.pointer, mark.name, mark.label, mark.module, mark.line)
            case MarkKind.TOUCH:
                stream.touch(int(mark.label))
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
