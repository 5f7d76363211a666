"""The panels of the figure beside FF-INT8's Table V: each has the rules from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from trainfit.plots.drawing.style import hatch
from trainfit.plots.papers.rows import OPEN, OPEN_MARKER, note_at_end

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def legend(numbers: pd.DataFrame, colour: Any) -> list[tuple[Any, str]]:
    """What the legend shows, and its words."""
    point = Line2D([], [], marker="o", linestyle="none", color=colour)
    entries: list[tuple[Any, str]] = [
        ((Patch(facecolor=colour), point), "measured here (time: the run's CPU)")
    ]
    device = numbers["device"].iloc[0]
    if device:
        model = Patch(facecolor=colour, edgecolor="white", hatch=hatch("modelled"))
        entries.append((model, f"modelled for {device}"))
    diamond = Line2D([], [], marker="D", linestyle="none", **OPEN_MARKER)
    entries.append(((Patch(**OPEN), diamond), "published (memory: with framework)"))
    return entries


def memory(axes: Axes, numbers: pd.DataFrame, colour: Any) -> None:
    """Bytes as ratio to FP32's, ours above the published ones."""
    for place, row in enumerate(numbers.to_dict("records")):
        for offset, value, look in (
            (-0.2, row["ram_ratio"], {"color": colour}),
            (0.2, row["published_megabytes_ratio"], OPEN),
        ):
            if pd.notna(value):
                axes.barh(place + offset, value, height=0.38, **look)
                note_at_end(axes, value, place + offset, f"{value:.2f}")
    axes.set_xlim(0, 1.35 * max(1.0, numbers["ram_ratio"].astype(float).max()))


def accuracy(axes: Axes, numbers: pd.DataFrame, colour: Any) -> None:
    """Test accuracy in percent, ours above the published one."""
    for place, row in enumerate(numbers.to_dict("records")):
        if pd.notna(row["test_accuracy"]):
            deviation = row["test_accuracy_deviation"]
            error = None if pd.isna(deviation) else 100 * deviation
            look: dict[str, Any] = {"marker": "o", "color": colour, "capsize": 2}
            axes.errorbar(100 * row["test_accuracy"], place - 0.15, xerr=error, **look)
        if pd.notna(row["published_accuracy"]):
            axes.plot(100 * row["published_accuracy"], place + 0.15, marker="D", **OPEN_MARKER)
    axes.grid(axis="x")
    axes.margins(x=0.1)
    axes.set_xlim(right=min(101.0, axes.get_xlim()[1]))


def _interval(axes: Axes, numbers: pd.DataFrame, colour: Any, what: str) -> None:
    look = {"color": colour, "edgecolor": "white", "hatch": hatch("modelled")}
    axes.set_xscale("log")
    ends: list[float] = []
    theirs = numbers[f"published_training_{what}_ratio"]
    for place, (low, high, published) in enumerate(
        zip(
            numbers[f"modelled_{what}_low_ratio"],
            numbers[f"modelled_{what}_high_ratio"],
            theirs,
            strict=True,
        )
    ):
        if pd.notna(low) and pd.notna(high):
            left, right = sorted((low, high))
            if left < right:
                axes.barh(place, right - left, left=left, height=0.5, **look)
            ends += [left, right]
        if pd.notna(published):
            axes.plot(published, place, marker="D", **OPEN_MARKER)
    if ends:
        axes.set_xlim(min(ends) / 1.6, max(ends) * 1.6)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1, color="0.6", linewidth=0.6, zorder=0)


def _seconds(axes: Axes, numbers: pd.DataFrame, colour: Any) -> None:
    _interval(axes, numbers, colour, "seconds")
    known = numbers["step_seconds_median_ratio"]
    places = [place for place, value in enumerate(known) if pd.notna(value) and value != 1]
    if places:
        values = [float(known.iloc[place]) for place in places]
        axes.plot(
            values, places, marker="o", linestyle="none", color=colour, markeredgecolor="white"
        )


def _joules(axes: Axes, numbers: pd.DataFrame, colour: Any) -> None:
    _interval(axes, numbers, colour, "joules")


INTERVALS = {"seconds": _seconds, "joules": _joules}
"""What paints a modelled interval, by its unit."""
