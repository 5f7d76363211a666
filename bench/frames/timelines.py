"""Live bytes in the course of a step, by category: the frame ``timelines``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trainfit.bench.frames.long import long_frame
from trainfit.bench.records.timelines import TimelineLine

if TYPE_CHECKING:
    import pandas as pd

TIMELINES = {
    "stage": "category",
    "events": "int64",
    "index": "int64",
    "phase": "category",
    "category": "category",
    "bytes": "int64",
}


def timelines_frame(lines: Iterable[tuple[str, TimelineLine]]) -> pd.DataFrame:
    """One row per workload, point and category of a timeline.

    Columns: ``run``, those of the workload's identity, then :data:`TIMELINES`; ``events`` is how
    many the step has, ``index`` after how many of them the point is.

    Args:
        lines: Each with the name of its run.
    """
    return long_frame(((run, line.workload, _columns(line)) for run, line in lines), TIMELINES)


def _columns(line: TimelineLine) -> dict[str, list[Any]]:
    points, categories = len(line.index), len(line.bytes)
    return {
        "stage": [line.stage] * points * categories,
        "events": [line.events] * points * categories,
        "index": line.index * categories,
        "phase": line.phase * categories,
        "category": [category for category in line.bytes for _ in line.index],
        "bytes": [size for column in line.bytes.values() for size in column],
    }
