"""Rows of probes: several per workload, of which each gets the workload's short label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainfit.plots.drawing.labels import short_labels
from trainfit.plots.drawing.style import WIDTHS
from trainfit.plots.drawing.workloads import WORKLOAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_CHARACTERS_PER_INCH = 20
_HANDLE = 10  # characters that a line and the room beside it take in a legend
_LINE_HEIGHT = 0.17


def named(frame: pd.DataFrame, *telling: str) -> pd.DataFrame:
    """The rows with a column ``workload`` in front; what was measured twice counts once.

    Args:
        frame: Rows with the columns that tell workloads apart, and ``seed``.
        telling: The columns that tell rows of one workload and seed apart.
    """
    known = frame.drop_duplicates([*WORKLOAD, "seed", *telling], keep="last")
    groups = known.groupby(list(WORKLOAD), sort=False, dropna=False)
    firsts = groups.head(1)
    labels = dict(
        zip(groups.ngroup()[firsts.index], short_labels(firsts.drop(columns="seed")), strict=True)
    )
    rows = known.copy()
    rows.insert(0, "workload", groups.ngroup().map(labels))
    return rows


def legend_columns(labels: Sequence[str], columns: int) -> int:
    """How many columns of a legend fit across a figure of so many columns."""
    room = WIDTHS[columns] * _CHARACTERS_PER_INCH
    fitting = int(room // (max(map(len, labels)) + _HANDLE))
    return max(1, min(fitting, len(labels), 4))


def legend_height(labels: Sequence[str], columns: int) -> float:
    """Inches that such a legend takes."""
    return _LINE_HEIGHT * -(-len(labels) // legend_columns(labels, columns)) + 0.1
