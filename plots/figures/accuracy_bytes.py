"""Accuracy against the bytes a training needs, with the front that nothing else is better than."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from trainfit.plots.drawing.base import require
from trainfit.plots.drawing.labels import short_labels
from trainfit.plots.drawing.layout import place_labels
from trainfit.plots.drawing.style import (
    format_bytes,
    limit_line,
    log_byte_axis,
    looks,
    new_figure,
    styled,
)
from trainfit.plots.drawing.workloads import (
    STAR,
    STARRED,
    apart,
    device_limits,
    marked,
    over_seeds,
    planning_devices,
    ram_bytes,
    spread_limits,
    with_limits,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
ALSO = ("verdicts",)
TITLE = "Accuracy against RAM, with the Pareto front"

LINES = 6
"""Device limits drawn in one panel, at most."""

_KEPT = "\N{NO-BREAK SPACE}"
_LINE_HEIGHT = 0.115
_CHARACTERS = {1: 58, 2: 54}
"""Of one line in the list of the front."""


def numbers(frame: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per trained workload, the mean over its seeds.

    On the front is what no other workload on the same data set beats: none that needs as little or
    less is as accurate or more. ``number`` counts along the front of a data set.
    Behind the workloads come the devices with the RAM that they leave (``limit_bytes``).

    Raises:
        MissingDataError: No workload has both a measured peak and an accuracy.
    """
    known = require(
        frame,
        "static_bytes",
        "peak_dynamic_bytes",
        "test_accuracy",
        remedy='set epochs in the suite\'s [defaults], and measure = ["memory", "accuracy"]',
    )
    rows = over_seeds(known, "test_accuracy")
    rows["ram_bytes"] = ram_bytes(rows)
    rows["number"] = pd.array([pd.NA] * len(rows), dtype="Int64")
    for _, panel in rows.groupby("dataset", sort=False):
        known = panel.drop(columns=["seed", "dataset"])
        rows.loc[panel.index, "workload"] = short_labels(known, passes=True)
        for number, index in enumerate(_front(panel), start=1):
            rows.loc[index, "number"] = number
    rows["on_front"] = rows["number"].notna()
    columns = ["dataset", "workload", "algorithm", "options", "model", "batch_size", "seeds"]
    columns += ["static_bytes", "peak_dynamic_bytes", "ram_bytes", "test_accuracy"]
    table = rows[[*columns, "test_accuracy_deviation", "on_front", "number"]]
    return with_limits(table, device_limits(frame, verdicts), planning_devices(verdicts))


def _front(panel: pd.DataFrame) -> list[Any]:
    """Index of the rows on the front, from fewest bytes to most."""
    ordered = panel.sort_values(["ram_bytes", "test_accuracy"], ascending=[True, False])
    best, front = -np.inf, []
    for index, accuracy in ordered["test_accuracy"].items():
        if accuracy > best:
            best = accuracy
            front.append(index)
    return front


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """One panel per data set, beside it (below it in one column) what is on its front."""
    whole = numbers
    numbers, limits = apart(whole)
    limits = marked(whole, limits)
    panels = list(numbers.groupby("dataset", sort=False))
    lists = [_listed(rows, columns) for _, rows in panels]
    needed = [0.2 + _LINE_HEIGHT * text.count("\n") for text in lists]
    if columns == 1:  # a list takes the room of its text, which hangs from axes of no height
        ratios = [1, 1e-3] * len(panels)
        height = 2.6 * len(panels) + sum(needed)
    else:
        ratios = [max(2.1, room) for room in needed]
        height = sum(ratios) + 0.35 * len(panels)
    names = list(dict.fromkeys(numbers["algorithm"]))
    legend_rows = -(-len(names) // (3 if columns == 1 else 6))
    figure = new_figure(columns, height=height + 0.1 + 0.15 * legend_rows)
    widths = [1.25, 1.0][:columns]
    grid = figure.add_gridspec(len(ratios), columns, height_ratios=ratios, width_ratios=widths)
    look = {name: each | {"linestyle": ""} for name, each in looks(names).items()}
    drawn = []
    for row, ((dataset, rows), text) in enumerate(zip(panels, lists, strict=True)):
        places = (2 * row, 0), (2 * row + 1, 0)
        plot, note = places if columns == 1 else ((row, 0), (row, 1))
        axes = figure.add_subplot(grid[plot])
        _draw_panel(axes, rows, limits, look)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=4 * columns))
        _write(figure.add_subplot(grid[note]), str(dataset), text)
        drawn.append((axes, rows))
    keys = [Line2D([], [], label=name, **look[name]) for name in names]
    keys.append(Line2D([], [], color="0.5", linewidth=0.8, label="front (filled points)"))
    figure.legend(
        handles=keys, loc="outside lower center", ncols=3 if columns == 1 else 6, columnspacing=1.2
    )
    for axes, rows in drawn:
        front = rows[rows["on_front"]].sort_values("number")
        points = zip(front["ram_bytes"], 100 * front["test_accuracy"], front["number"], strict=True)
        rest = rows[~rows["on_front"]]
        others = zip(rest["ram_bytes"], 100 * rest["test_accuracy"], strict=True)
        place_labels(axes, [(float(x), y, str(n)) for x, y, n in points], others)
    return figure


def _draw_panel(
    axes: Axes, rows: pd.DataFrame, limits: dict[str, int], look: dict[Any, dict[str, Any]]
) -> None:
    x = rows["ram_bytes"].astype(float)
    y = 100 * rows["test_accuracy"]
    low, high = x.min() / 1.35, x.max() * 1.35
    front = rows[rows["on_front"]].sort_values("ram_bytes")
    axes.step(
        [*front["ram_bytes"].astype(float), high],
        [*(100 * front["test_accuracy"]), 100 * front["test_accuracy"].max()],
        where="post",
        color="0.5",
        linewidth=0.8,
        zorder=2,
    )
    for (name, filled), points in rows.groupby(["algorithm", "on_front"], sort=False):
        axes.errorbar(
            x[points.index],
            y[points.index],
            yerr=100 * points["test_accuracy_deviation"],  # not drawn where it is missing
            **look[name],
            markerfacecolor=look[name]["color"] if filled else "white",
            markeredgecolor="black" if filled else look[name]["color"],
            markeredgewidth=0.4 if filled else 0.8,
            elinewidth=0.7,
            capsize=2,
            zorder=5 if filled else 4,
        )
    log_byte_axis(axes.xaxis)
    axes.set_xlim(low, high)
    lines = spread_limits(limits, low, high, LINES)
    star = f" ({STARRED})" if any(STAR in text for text, _ in lines) else ""
    axes.set_xlabel(f"RAM: static + peak dynamic bytes{star}")
    axes.set_ylabel("test accuracy (%)")
    axes.margins(y=0.08)
    axes.grid(axis="y")
    for text, limit in lines:
        limit_line(axes, limit, horizontal=False)
        axes.annotate(
            text,
            (limit, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-2, 2),
            textcoords="offset points",
            rotation=30,
            rotation_mode="anchor",
            fontsize=6,
            color="0.25",
            annotation_clip=False,
        )


def _write(axes: Axes, dataset: str, text: str) -> None:
    """What is on the front; takes room for its lines, but none for their length."""
    axes.set_axis_off()
    title = f"{dataset}: on the front, from fewest bytes"
    room = "|" + "\n" * (text.count("\n") + 1)
    for written, down, weight in (title, 0, "bold"), (text, -10, "normal"), (room, 0, "normal"):
        note = axes.annotate(
            written,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, down),
            textcoords="offset points",
            va="top",
            fontsize=6.2,
            linespacing=1.25,
            weight=weight,
            alpha=0 if written == room else 1,
        )
        note.set_in_layout(written == room)


def _listed(rows: pd.DataFrame, columns: int) -> str:
    """What is on the front: number, name, accuracy and bytes, in lines short enough."""
    front = rows[rows["on_front"]].sort_values("number")
    lines = []
    for row in front.to_dict("records"):
        deviation = row["test_accuracy_deviation"]
        spread = "" if np.isnan(deviation) else f" ± {100 * deviation:.2f}"
        accuracy = f"{100 * row['test_accuracy']:.2f}{spread} %,".replace(" ", _KEPT)
        size = format_bytes(row["ram_bytes"]).replace(" ", _KEPT)
        text = f"{row['number']}  {row['workload']}: {accuracy} {size}"
        lines += textwrap.wrap(text, _CHARACTERS[columns], subsequent_indent="     ")
    return "\n".join([*lines, ""])
