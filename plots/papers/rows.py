"""Which rows of a run stand for a row of a paper's table, and what several seeds of it say.

Also how ours and theirs are told apart: what is from here is filled, what was published is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from trainfit._experiments import Conditions, experiments, in_common, latest, with_conditions
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


def one_experiment(
    rows: pd.DataFrame, side: str, compared: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """The trainings of one experiment, and in words what is not of it.

    Of several experiments the one counts that has the most sides, then one whose rates were
    searched for, then the most seeds in common, passes, samples; among equals the first. Of a side
    that a sweep over options made, none counts. Only seeds that all sides have stay.

    Args:
        rows: Trainings, one or several rows each, with a column ``options`` and those that say
            under which conditions they were made.
        side: The column whose values are compared.
        compared: Conditions that may differ between sides.

    Returns:
        The rows with their ``conditions``, none where there is no experiment; and of every side
        that is left out its name and how the trainings of it that come nearest differ.
    """
    found = [_sides(part, side) for part in experiments(rows, compared)]
    found = [sides for sides in found if sides]
    if not found:
        return rows[:0], []
    best = max(found, key=_weight)
    chosen = pd.concat(best.values())
    lacking = [name for name in dict.fromkeys(rows[side]) if name not in best]
    others = with_conditions(rows[rows[side].isin(lacking)])
    return chosen, [_left_out(others, side, each, chosen, compared) for each in lacking]


def _sides(part: pd.DataFrame, side: str) -> dict[Any, pd.DataFrame]:
    """The sides of an experiment, cut to the seeds that all of them have."""
    known = {name: _one_setting(own) for name, own in part.groupby(side, sort=False)}
    sides = {name: own for name, own in known.items() if len(own)}
    seeds = in_common(own["seed"].astype(int) for own in sides.values())
    return {name: own[own["seed"].isin(seeds)] for name, own in sides.items()} if seeds else {}


def _one_setting(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the one workload there is, or of the one that was searched for; else none."""
    if rows["options"].nunique() > 1:
        rows = rows[rows["conditions"].map(lambda each: each.is_searched)]
    return latest(rows) if rows["options"].nunique() == 1 else rows[:0]


def _weight(sides: Mapping[Any, pd.DataFrame]) -> tuple[int, bool, int, int, int]:
    all_of_them: list[Conditions] = [own["conditions"].iloc[0] for own in sides.values()]
    return (
        len(sides),
        all(each.is_searched for each in all_of_them),
        next(iter(sides.values()))["seed"].nunique(),
        min(each.count("passes") for each in all_of_them),
        min(each.count("train_samples") for each in all_of_them),
    )


def _left_out(
    others: pd.DataFrame, side: str, name: Any, chosen: pd.DataFrame, compared: Collection[str]
) -> str:
    shown: Conditions = chosen["conditions"].iloc[0]
    ways = [each.differences(shown, compared) for each in others.loc[others[side] == name,
            "conditions"]]  # fmt: skip
    nearest = min(ways, key=len)
    return f"{name} ({', '.join(nearest) or 'other seeds, or several settings'})"


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
