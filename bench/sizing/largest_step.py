"""The largest batch of a step of one's own that fits, by looking at one size after another.

Bisection presumes that more needs more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainfit.bench.sizing.own_step import OwnStep

CEILING = 2**20
"""Where the search ends: beyond this nobody asks."""


@dataclass(frozen=True)
class LargestBatch:
    """What was found.

    Attributes:
        size: The largest batch that fits; None if not even one sample does.
        step: What it needs; of one sample if none fits.
        above: What a sample more needs; None at the ceiling, or if none fits.
        tried: Number of sizes that were traced.
    """

    size: int | None
    step: OwnStep
    above: OwnStep | None
    tried: int


def search(
    at: Callable[[int], OwnStep], fits: Callable[[OwnStep], bool], *, smallest: int = 1
) -> LargestBatch:
    """Try batches of 1, 2, 4, ... until one does not fit, and between the last two.

    Args:
        at: What it needs.
        fits: Whether that is there.
        smallest: The batch to begin with.
    """
    found = {smallest: at(smallest)}
    if not fits(found[smallest]):
        return LargestBatch(None, found[smallest], None, 1)
    low, high = smallest, 2 * smallest
    while high <= CEILING:
        found[high] = at(high)
        if not fits(found[high]):
            break
        low, high = high, 2 * high
    else:
        return LargestBatch(low, found[low], None, len(found))
    while high - low > 1:
        middle = (low + high) // 2
        found[middle] = at(middle)
        if fits(found[middle]):
            low = middle
        else:
            high = middle
    return LargestBatch(low, found[low], found[high], len(found))
