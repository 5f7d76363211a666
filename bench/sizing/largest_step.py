"""The largest batch of a step of one's own that fits: by tracing it at one size after another.

``make_step`` takes ``batch_size``. Bisection presumes that more needs more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trainfit.bench.sizing.own_step import OwnStep, predict_own_step

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


def largest_batch(
    target: str, folder: Path, fits: Callable[[OwnStep], bool], *, plan: bool = False
) -> LargestBatch:
    """Trace a step at batches of 1, 2, 4, ... until one does not fit, and between the last two.

    Args:
        target: ``module:function``; the function takes ``batch_size``.
        folder: Searched for the module before everything else.
        fits: Whether what a step needs is there.
        plan: Plan an arena for every size.

    Raises:
        OwnStepError: The step cannot be found, made or predicted.
    """
    return search(partial(_at, target, folder, plan), fits)


def _at(target: str, folder: Path, plan: bool, size: int) -> OwnStep:
    return predict_own_step(target, folder, batch_size=size, plan=plan)


def search(at: Callable[[int], OwnStep], fits: Callable[[OwnStep], bool]) -> LargestBatch:
    """The same of any step of which it is known what it needs ``at`` a batch."""
    found = {1: at(1)}
    if not fits(found[1]):
        return LargestBatch(None, found[1], None, 1)
    low, high = 1, 2
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
