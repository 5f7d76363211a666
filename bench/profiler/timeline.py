"""How the memory of a step came and went, by category, in as many points as a figure can show."""

from __future__ import annotations

import numpy as np

from trainfit.bench.profiler.fold import Fold
from trainfit.bench.profiler.lifetimes import Ints
from trainfit.bench.records.timelines import Timeline

MOST_POINTS = 1000
"""A timeline has at most this many; a page is about as many dots wide."""


def levels(folded: Fold) -> Ints:
    """Dynamic bytes before the first allocation or free of a step, then right after each."""
    return folded.entry_bytes + np.concatenate(([0], np.cumsum(folded.allocations)))


def levels_by_category(folded: Fold) -> dict[str, Ints]:
    """The :func:`levels`, split by what the bytes are for; they sum to them point by point.

    Categories that no dynamic byte of the step is of are left out.
    """
    split: dict[str, Ints] = {}
    for place, name in enumerate(folded.owner_names):
        changes = np.where(folded.owners == place, folded.allocations, 0)
        entry = folded.entry_categories.get(name, 0)
        if entry or np.any(changes):
            split[name] = entry + np.concatenate(([0], np.cumsum(changes)))
    return split


def compact_timeline(folded: Fold, stage: str, most_points: int = MOST_POINTS) -> Timeline:
    """The course of a step in few points, the peak among them.

    The events are cut into windows, and of each the point with the largest total is kept, the
    first of several. Where there are more events than points, what falls between two points of a
    window is not seen, so the course is that of the upper edge. Every visit of a phase has a point
    of its own, unless there are more visits than points; so have the levels before and after the
    step.

    Args:
        folded: The step.
        stage: What the step is of.
        most_points: How many points there may be, at least 3.
    """
    total = levels(folded)
    at = _highest(total, _window_starts(folded, len(total), most_points))
    return Timeline(
        stage=stage,
        events=len(folded.allocations),
        index=at.tolist(),
        phase=folded.innermost_phases(at - 1),  # of the event that it is right after
        bytes={name: split[at].tolist() for name, split in levels_by_category(folded).items()},
    )


def _window_starts(folded: Fold, count: int, most: int) -> Ints:
    """Where the windows of ``count`` levels start, the first and last level in their own."""
    if count <= most:
        return np.arange(count)
    # The first level of a phase is the one after its first event.
    borders = np.array([0, 1, count - 1, *(start + 1 for start, _ in folded.segments)])
    borders = np.unique(borders[borders < count])
    if len(borders) > most // 2:
        borders = np.array([0, 1, count - 1])
    even = np.linspace(1, count - 1, most - len(borders), endpoint=False).astype(np.int64)
    return np.union1d(borders, even)


def _highest(total: Ints, starts: Ints) -> Ints:
    """Per window, the place of its first highest level."""
    stops = [*starts[1:].tolist(), len(total)]
    return np.array(
        [
            start + int(np.argmax(total[start:stop]))
            for start, stop in zip(starts.tolist(), stops, strict=True)
        ]
    )
