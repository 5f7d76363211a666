"""Loops over the tiles of a tensor, that a trace need not walk through to the end.

A rule that works on a tensor tile by tile does the same with every tile of one size. While it is
traced, two tiles of a size are walked through, and the second stands for all that follow: so a
trace takes no longer for a larger tensor, and what one tile leaves to the next is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from trainfit.algorithms import phases


@runtime_checkable
class Repeating(Protocol):
    """An observer to whom a loop may be shown in part."""

    def repeat(self, times: int, *, again: bool = False) -> None:
        """What follows is done ``times`` as often as it is shown.

        With ``again`` it goes on with what an earlier part of the loop began, on other rows.
        """

    def repeated(self) -> None:
        """That part ends."""


def in_tiles(extent: int, size: int, *, apart: bool = False) -> Iterator[slice]:
    """Walk through ``extent`` rows, ``size`` at a time.

    Args:
        extent: Number of rows (or of whatever is tiled).
        size: The most that a tile has; the last one may be smaller.
        apart: A tile is a task of its own, as a micro-batch is, and no part of one over all rows.

    Yields:
        The rows of each tile. Under an observer that is :class:`Repeating`: of the first tile, of
        the second for all others of that size, and of the smaller one, if there is one.

    Raises:
        ValueError: ``size`` is not positive.
    """
    if size < 1:
        raise ValueError(f"a tile has at least one row, got {size}")
    observer = phases.observer()
    if not isinstance(observer, Repeating):
        for start in range(0, extent, size):
            yield slice(start, min(start + size, extent))
        return
    whole, rest = divmod(extent, size)
    shown = [(0, size, 1), (size, size, whole - 1), (whole * size, rest, 1)]
    for start, rows, times in shown[0 if whole else 2 :]:
        if rows and times > 0:
            observer.repeat(times, again=start > 0 and not apart)
            try:
                yield slice(start, start + rows)
            finally:
                observer.repeated()


def rising(start: int, stop: int) -> Iterator[int]:
    """Walk through rounds whose work rises by the same from each to the next.

    Under an observer that is :class:`Repeating` the first and the last are shown, and the middle
    one if there is one, with counts: their sum is that of all rounds, and their largest is the
    largest.

    Args:
        start: Number of the first round.
        stop: The number after that of the last.

    Yields:
        The number of each round.
    """
    observer = phases.observer()
    rounds = stop - start
    if not isinstance(observer, Repeating):
        yield from range(start, stop)
        return
    half, rest = divmod(max(rounds, 0), 2)
    for number, times in ((start, half), (start + half, rest), (stop - 1, half)):
        if times:
            observer.repeat(times)
            try:
                yield number
            finally:
                observer.repeated()
