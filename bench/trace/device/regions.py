"""Which bytes of a storage an operand covers, and sets of such bytes.

A set is a sorted tuple of spans ``(start, stop)`` that do not touch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from trainfit.bench.trace.trace import Operand

Spans = tuple[tuple[int, int], ...]


class Region(NamedTuple):
    """Bytes from the first element of an operand to its last.

    Attributes:
        start, stop: Bytes from the start of the storage.
        dense: Every byte between them belongs to an element.
    """

    start: int
    stop: int
    dense: bool

    @property
    def spans(self) -> Spans:
        """The same as a set."""
        return ((self.start, self.stop),) if self.stop > self.start else ()


@lru_cache(maxsize=1 << 16)
def region_of(operand: Operand) -> Region:
    """Where an operand lies in its storage."""
    size = operand.dtype.itemsize
    if not operand.elements:
        return Region(0, 0, True)
    reach = sum((n - 1) * by for n, by in zip(operand.shape, operand.strides, strict=True))
    start = operand.offset * size
    return Region(start, start + (reach + 1) * size, operand.distinct == reach + 1)


def union(left: Spans, right: Spans) -> Spans:
    """The bytes of both."""
    if not right or left == right:
        return left
    merged: list[tuple[int, int]] = []
    for start, stop in sorted((*left, *right)):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)


def without(left: Spans, right: Spans) -> Spans:
    """The bytes of the first that are not in the second."""
    for gone_from, gone_to in right:
        kept: list[tuple[int, int]] = []
        for start, stop in left:
            if stop <= gone_from or start >= gone_to:
                kept.append((start, stop))
                continue
            if start < gone_from:
                kept.append((start, gone_from))
            if stop > gone_to:
                kept.append((gone_to, stop))
        left = tuple(kept)
    return left
