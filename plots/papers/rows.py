"""Which rows of a run stand for a row of a paper's table, and what several seeds of it say.

Also how ours and theirs are told apart: what is from here is filled, what was published is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from trainfit._text import layer_sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE, PUBLISHED = "here", "published"
"""Where a number comes from."""

OPEN: Mapping[str, Any] = {"facecolor": "white", "edgecolor": "0.25", "linewidth": 0.7}
"""A bar of what was published."""

OPEN_MARKER: Mapping[str, Any] = {
    "markerfacecolor": "white",
    "markeredgecolor": "0.25",
    "markeredgewidth": 0.8,
    "color": "0.25",
}
"""A marker of what was published."""


def with_options(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame and two columns of Python values: ``chosen``, the options, and ``sizes``.

    Sizes are the widths of a fully connected net, inputs and classes included, such as
    ``(784, 500, 500, 10)``; empty for other nets.
    """
    return frame.assign(
        chosen=frame["options"].astype(object).map(json.loads).astype(object),
        sizes=frame["model"].astype(object).map(layer_sizes).astype(object),
    )


def where(rows: pd.DataFrame, column: str, test: Callable[[Any], object]) -> pd.DataFrame:
    """The rows whose value in a column passes a test; also of a frame without rows."""
    return rows.loc[rows[column].map(lambda value: bool(test(value))).astype(bool)]


def longest(rows: pd.DataFrame) -> pd.DataFrame:
    """Of several trainings of one thing the one with the most passes, then the most seeds.

    Trainings differ where options, epochs or anything else but the seed and the run do. Among
    equals the first one counts.
    """
    if rows.empty:
        return rows
    keys = ["options", "model", "dataset", "batch_size", "epochs", "train_samples", "standardise"]
    groups = [group for _, group in rows.groupby(keys, dropna=False, sort=False)]
    best = max(groups, key=lambda group: (int(group["epochs"].iloc[0]), group["seed"].nunique()))
    return best.drop_duplicates("seed")


def over_seeds(trained: pd.DataFrame) -> dict[str, Any]:
    """What a figure says of trainings that differ by their seed: columns of one of its rows.

    The mean test accuracy; its deviation (of the sample) where there are several seeds; how many
    there are; options, and the runs that they come from. All but the runs are missing where there
    is no training.
    """
    known = trained["test_accuracy"].dropna().astype(float)
    return {
        "test_accuracy": None if known.empty else float(known.mean()),
        "test_accuracy_deviation": float(known.std()) if len(known) > 1 else None,
        "seeds": len(trained) or None,
        "options": first(trained, "options"),
        "runs": origin(trained),
    }


def origin(rows: pd.DataFrame) -> str:
    """The runs that rows come from, once each."""
    return ", ".join(dict.fromkeys(str(run) for run in rows.get("run", pd.Series(dtype=str))))


def first(rows: pd.DataFrame, column: str) -> Any:
    """The first value there is in a column; None if there is none."""
    known = rows[column].dropna() if column in rows else rows.iloc[:0, 0]
    return None if known.empty else known.iloc[0]


def ratio(value: Any, base: Any) -> float | None:
    """A value over another; None where either is missing or the base is 0."""
    if pd.isna(value) or pd.isna(base) or not base:
        return None
    return float(value) / float(base)


def line(axes: Axes, x: Any, accuracy: Any, deviation: Any, **look: Any) -> None:
    """A line of percentages, with bars where several seeds say how far they lie apart."""
    y = 100 * pd.Series(list(accuracy), dtype=float)
    error = 100 * pd.to_numeric(pd.Series(list(deviation)), errors="coerce")
    axes.plot(list(x), y, **look)
    if error.notna().any():
        bar: dict[str, Any] = {
            "fmt": "none",
            "ecolor": look.get("color"),
            "capsize": 2,
            "elinewidth": 0.8,
        }
        axes.errorbar(list(x), y, yerr=error.fillna(0), **bar)


def note_at_end(axes: Axes, value: float, row: float, text: str) -> None:
    """A small text behind the end of a horizontal bar."""
    axes.annotate(
        text,
        (value, row),
        xytext=(2, 0),
        textcoords="offset points",
        ha="left",
        va="center",
        fontsize=6,
        color="0.15",
    )
