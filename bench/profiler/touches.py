"""Static bytes: what a step uses and neither makes nor frees, counted by block.

A view counts the bytes it covers, however often and by however many tensors: the elements of an
expanded dimension are one element, micro-batches add up to the batch they were cut from, and a
batch sliced from a data set is the batch. What the step makes, or finds and frees, is dynamic and
no part of it. What an earlier step made and nobody has freed yet is there all the time, used or
not, so it counts whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from trainfit.bench.profiler.events import MarkKind, Stream
from trainfit.bench.profiler.lifetimes import BlockLifetimes, Ints

MOST_PIECES = 1 << 20
"""Of a view; one of more pieces counts from its first byte to its last."""


class Extent(NamedTuple):
    """The bytes of a storage that a view covers: pieces of ``run`` bytes at equal distances.

    Attributes:
        offset: Of the first piece, from the beginning of the storage.
        run: Bytes of a piece; 0 for a view of nothing.
        outer: (distance in bytes, number) of every dimension that pieces are repeated along.
    """

    offset: int
    run: int
    outer: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Extent:
        """What a strided tensor covers."""
        width = tensor.element_size()
        offset = int(tensor.storage_offset()) * width
        sizes = tensor.size()
        if 0 in sizes:
            return cls(offset, 0, ())
        steps = sorted(
            (int(stride) * width, int(size))
            for size, stride in zip(sizes, tensor.stride(), strict=True)
            if size > 1 and stride
        )
        run, pieces = width, 1
        outer: list[tuple[int, int]] = []
        for distance, number in steps:
            if not outer and distance <= run:
                run += (number - 1) * distance
            else:
                outer.append((distance, number))
                pieces *= number
        if pieces > MOST_PIECES:
            run += sum((number - 1) * distance for distance, number in outer)
            outer = []
        return cls(offset, run, tuple(outer))

    def pieces(self) -> Ints:
        """Where they begin; shape (pieces,)."""
        starts: Ints = np.array([self.offset], np.int64)
        for distance, number in self.outer:
            starts = np.add.outer(starts, distance * np.arange(number)).ravel()
        return starts


def union_bytes(extents: Iterable[Extent]) -> int:
    """How many bytes views cover together; a byte that several cover is one byte."""
    found = [(each.pieces(), each.run) for each in extents if each.run]
    if not found:
        return 0
    starts = np.concatenate([pieces for pieces, _ in found])
    ends = np.concatenate([pieces + run for pieces, run in found])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    first = np.concatenate(([True], starts[1:] > ends[:-1]))  # a piece that touches none before
    last = np.concatenate((first[1:], [True]))
    return int((ends[last] - starts[first]).sum())


class Touch(NamedTuple):
    """An operator was given a view of a storage.

    Attributes:
        pointer: Address of the storage.
        extent: What the view covers.
        written: The operator may change it.
        owned: The storage comes from an allocator of torch's; others (of numpy, of shared memory)
            are known from ``outside`` alone.
    """

    pointer: int
    extent: Extent
    written: bool
    owned: bool = True


@dataclass
class StaticBlock:
    """A block that is there before, during and after the step.

    Attributes:
        pointer: Address of the storage as it was used; of a block nobody used, its own.
        extents: What was used of it.
        written: Something was written into it.
        whole_bytes: Its size, if it counts whole.
    """

    pointer: int
    extents: set[Extent] = field(default_factory=set)
    written: bool = False
    whole_bytes: int = 0

    @property
    def size(self) -> int:
        """Bytes that count."""
        return self.whole_bytes or union_bytes(self.extents)


def static_blocks(
    stream: Stream, touches: Sequence[Sequence[Touch]], outside: Mapping[int, int]
) -> tuple[list[StaticBlock], set[int]]:
    """The static blocks of a measured step, and the addresses of what others made during it.

    Args:
        stream: Its allocations, with a TOUCH mark for each entry of ``touches`` (its number is the
            mark's label).
        touches: What operators were given, in the order of those marks.
        outside: Addresses of storages not of torch's allocator that existed before the step.

    Raises:
        StreamError: The allocation events contradict each other.
    """
    lives = BlockLifetimes(stream)
    begin = next(m.position for m in stream.marks if m.kind is MarkKind.BEGIN)
    end = next(m.position for m in stream.marks if m.kind is MarkKind.END)
    found: dict[tuple[bool, int], StaticBlock] = {}
    foreign: set[int] = set()
    for mark in stream.marks:
        if mark.kind is not MarkKind.TOUCH:
            continue
        for touch in touches[int(mark.label)]:
            event = lives.block_around(touch.pointer, mark.position)
            if event is None:
                if lives.freed_unseen(touch.pointer, mark.position, end):
                    continue  # found and freed: it is in the peak
                if not touch.owned and touch.pointer not in outside:
                    foreign.add(touch.pointer)  # by numpy, say: it may be gone again already
                    continue
                key = (False, touch.pointer)
            elif event >= begin or lives.died[event] < end:
                continue
            else:
                key = (True, event)
            block = found.setdefault(key, StaticBlock(touch.pointer))
            block.extents.add(touch.extent)
            block.written |= touch.written
    leaks = int(lives.sizes[begin:end].sum()) > 0
    until = lives.count if leaks else lives.count + 1  # nobody knows yet who drops it
    kept = (lives.sizes[:begin] > 0) & (lives.died[:begin] >= end) & (lives.died[:begin] < until)
    for number in np.flatnonzero(kept).tolist():
        key = (True, number)
        if key not in found:
            pointer = int(lives.pointers[number])
            found[key] = StaticBlock(pointer, whole_bytes=int(lives.sizes[number]))
    return list(found.values()), foreign
