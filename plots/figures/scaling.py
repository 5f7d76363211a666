"""RAM against batch size, width and depth, with the limits of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

from trainfit._text import layer_sizes
from trainfit.plots.drawing.base import MissingDataError, require
from trainfit.plots.drawing.labels import short_labels
from trainfit.plots.drawing.style import (
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
    devices_with_room,
    marked,
    over_seeds,
    planning_devices,
    ram_bytes,
    spread_limits,
    with_limits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
ALSO = ("verdicts",)
TITLE = "RAM against batch size, width and depth"

AXES = {
    "batch_size": ("batch size", ("model",)),
    "width": ("width of the hidden layers", ("inputs", "classes", "depth", "batch_size")),
    "depth": ("number of hidden layers", ("inputs", "classes", "width", "batch_size")),
}
"""What may vary: how it is called, and what has to stay the same, beside the data set."""

MOST = 10
"""Series in one figure."""
LINES = 4
"""Device limits in one panel."""

REMEDY = (
    "run the suite scaling, or give a workload a list: batch_size = [1, 8, 64], or "
    'model = ["mlp-64-64x2-10", "mlp-64-128x2-10"]'
)


def numbers(frame: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per point and ``axis``, which is ``batch_size``, ``width`` or ``depth``.

    A series is an algorithm with its options where nothing but the axis varies; of several such
    settings, the one with the most points. ``predicted_ram_bytes`` is static plus predicted
    bytes. ``largest_that_fits`` names the devices on which this is the largest measured point that
    fits, and a larger one does not; nothing between points is inferred. Behind the points come the
    devices with the RAM that they leave (``limit_bytes``).

    Raises:
        MissingDataError: Nothing was measured at two sizes with all else equal.
    """
    known = require(frame, "static_bytes", "peak_dynamic_bytes", remedy=REMEDY)
    same = ["algorithm", "options", "model", "dataset", "batch_size"]
    rows = over_seeds(known).drop_duplicates(same).reset_index(drop=True)
    rows["ram_bytes"] = ram_bytes(rows)
    rows["room"] = devices_with_room(rows, verdicts)
    rows["predicted_ram_bytes"] = rows["static_bytes"] + rows["predicted_bytes"]
    rows = rows.join(pd.DataFrame([_sizes(model) for model in rows["model"]]).astype("Int64"))
    found = [panel for axis in AXES if (panel := _panel(rows, axis)) is not None]
    if not found:
        raise MissingDataError("no two workloads differ in batch size, width or depth only", REMEDY)
    limits = device_limits(frame, verdicts)
    table = pd.concat(found, ignore_index=True)
    table["workload"] = short_labels(table[["algorithm", "options"]])
    table["largest_that_fits"] = _largest(table, limits)
    return with_limits(table.drop(columns="room"), limits, planning_devices(verdicts))


def _sizes(model: str) -> dict[str, int | None]:
    """Inputs, classes, hidden layers and their width; nothing for a net of several widths."""
    sizes = layer_sizes(model)
    hidden = set(sizes[1:-1])
    if len(hidden) != 1:
        return dict.fromkeys(("inputs", "classes", "width", "depth"))
    return {
        "inputs": sizes[0],
        "classes": sizes[-1],
        "width": hidden.pop(),
        "depth": len(sizes) - 2,
    }


def _panel(rows: pd.DataFrame, axis: str) -> pd.DataFrame | None:
    """The points of the setting in which the most of them vary along this axis only."""
    fixed = ["dataset", *AXES[axis][1]]
    series = [*fixed, "algorithm", "options"]
    whole = rows.dropna(subset=[axis, *fixed])
    several = whole[whole.groupby(series)[axis].transform("nunique") > 1]
    if several.empty:
        return None
    best = several.groupby(fixed, sort=False)[axis].size().idxmax()
    chosen: pd.DataFrame = several.set_index(fixed, drop=False).loc[[best]]
    names = ["workload", "algorithm", "options", "model", "dataset", "batch_size"]
    sizes = ["static_bytes", "peak_dynamic_bytes", "ram_bytes", "predicted_ram_bytes", "room"]
    chosen = chosen.sort_values(by=axis, kind="stable")
    setting = _setting(chosen.iloc[0], axis)
    points = chosen.assign(axis=axis, setting=setting, at=chosen[axis], workload="")
    return points[["axis", "setting", "at", *names, *sizes]]


def _setting(row: pd.Series[Any], axis: str) -> str:
    if axis == "batch_size":
        return str(row["model"])
    other = f"{row['depth']} hidden layers" if axis == "width" else f"layers of {row['width']}"
    return f"{other}, batch {row['batch_size']}"


def _largest(table: pd.DataFrame, devices: Iterable[str]) -> list[str]:
    """Per row, the devices on which it is the largest that fits of its series."""
    named: dict[Any, list[str]] = {index: [] for index in table.index}
    for _, points in table.groupby(["axis", "algorithm", "options"], sort=False):
        for device in devices:
            fits = points[[device in room for room in points["room"]]]
            if len(fits) and points["at"].max() > fits["at"].max():
                named[fits["at"].astype(int).idxmax()].append(device)
    return [", ".join(devices) for devices in named.values()]


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """One panel per axis that varies, side by side (one column: below each other)."""
    whole = numbers
    numbers, limits = apart(whole)
    names = list(dict.fromkeys(numbers["workload"]))
    shown = names[:MOST]
    points = numbers[numbers["workload"].isin(shown)]
    panels = [(axis, rows) for axis in AXES if len(rows := points[points["axis"] == axis])]
    across = 1 if columns == 1 else len(panels)
    per_row = 2 * columns
    legend_rows = -(-(len(shown) + 2) // per_row)
    height = 2.2 * len(panels) if columns == 1 else 2.5
    figure = new_figure(columns, height=height + 0.16 * legend_rows + 0.3)
    grid = figure.subplots(len(panels) // across, across, sharey=columns == 2, squeeze=False)
    look = looks(shown)
    low, high = 0.8 * points["ram_bytes"].min(), 1.3 * points["ram_bytes"].max()
    lines = spread_limits(marked(whole, limits), low, high, LINES)
    for index, (axes, (axis, rows)) in enumerate(zip(grid.flat, panels, strict=True)):
        _draw_panel(axes, axis, rows, look)
        axes.set_ylim(low, high)
        last = columns == 1 or index == len(panels) - 1
        if columns == 1 or index == 0:
            axes.set_ylabel("RAM: static + peak dynamic")
        _limits(axes, lines, rows, names=last)
    keys = [Line2D([], [], label=name, **look[name]) for name in shown]
    keys.append(Line2D([], [], **_TICK, label="predicted"))
    if lines:
        keys.append(Line2D([], [], **_RING, label="largest measured that fits"))
    if any(STAR in text for text, _ in lines):
        keys.append(Line2D([], [], linestyle="", label=STARRED))
    if len(names) > len(shown):
        note = f"{len(names) - len(shown)} more series are in the CSV"
        keys.append(Line2D([], [], linestyle="", label=note))
    figure.legend(handles=keys, loc="outside lower center", ncols=per_row, columnspacing=1.2)
    return figure


_TICK: dict[str, Any] = {
    "marker": "_",
    "markersize": 7,
    "markeredgewidth": 0.7,
    "color": "black",
    "linestyle": "",
}
_RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 7.5,
    "markeredgewidth": 0.7,
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "linestyle": "",
}


def _draw_panel(axes: Axes, axis: str, rows: pd.DataFrame, look: dict[Any, Any]) -> None:
    for name, line in look.items():
        points = rows[rows["workload"] == name]
        at = points["at"].astype(int)
        axes.plot(
            at,
            points["ram_bytes"].astype(float),
            markeredgecolor="white",
            markeredgewidth=0.3,
            zorder=4,
            **line,
        )
        axes.plot(at, points["predicted_ram_bytes"].astype("Float64").astype(float), **_TICK)
    log_byte_axis(axes.yaxis)
    if axis == "depth":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(AXES[axis][0])
    axes.set_title(rows["setting"].iloc[0], color="0.25")
    axes.grid(axis="y")


def _limits(axes: Axes, lines: list[tuple[str, int]], rows: pd.DataFrame, *, names: bool) -> None:
    """Lines of devices, their names outside at the right, and the largest points below them."""
    for text, limit in lines:
        limit_line(axes, limit)
        if names:
            axes.annotate(
                text.replace(", ", ",\n").replace(" and ", "\nand "),
                (1, limit),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6,
                color="0.25",
                annotation_clip=False,
            )
        device = text.split(",")[0].split(" and ")[0].removesuffix(STAR)
        here = rows["largest_that_fits"].str.split(", ").map(lambda found, d=device: d in found)
        points = rows[here]
        axes.plot(points["at"].astype(int), points["ram_bytes"].astype(float), **_RING, zorder=5)
