"""How memory comes and goes in one step: bytes alive by category, phases shaded, peak marked.

The horizontal axis counts allocations and frees, which is what the measurement sees and what is
the same on every machine; it is no time, and a phase that allocates nothing has no width. Where a
step has more of them than a timeline has points, what is drawn is the upper edge, and the peak is
exact.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch, Rectangle

from trainfit.plots.drawing.base import require
from trainfit.plots.drawing.layout import add_note, not_shown, note_height, wrapped
from trainfit.plots.drawing.style import (
    CATEGORIES,
    WIDTHS,
    colours,
    format_bytes,
    linear_byte_axis,
    new_figure,
    styled,
)
from trainfit.plots.drawing.workloads import RECORD, cut, over_seeds, texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "timelines"
TITLE = "Memory over one training step"

MOST_PANELS = 6
_REMEDY = "measure the memory again with trainfit run: older runs hold no timelines"
_SHADES = {"forward": "0.95", "gradient": "0.88", "update": "0.82"}
"""Of the background; what is in no phase stays white."""

_OWN_SCALE_RATIO = 4.0
"""Peaks further apart than this could not be read on one scale."""

_ABOUT = ("workload", "algorithm", "options", "model", "dataset", "batch_size", "stage", "events")


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per workload, point and category: what is alive after so many allocations and frees.

    At most six workloads, one of every algorithm before a second of any; seeds need the same bytes,
    so the first counts. ``attrs["left_out"]`` names the others.

    Raises:
        MissingDataError: The run has no timelines.
    """
    frame = require(frame, "bytes", remedy=_REMEDY)
    keys = [*RECORD, "stage", "events"]
    number = frame.groupby(keys, sort=False, dropna=False, observed=True).ngroup()
    rows = over_seeds(texts(frame.assign(number=number)[~number.duplicated()]))
    points = frame.assign(workload=number.map(rows.set_index("number")["workload"]))
    points = points.dropna(subset=["workload"]).assign(order=number)
    points = points.sort_values("order", kind="stable")
    # A run that was given twice says the same twice.
    points = points.drop_duplicates(["order", "index", "category"])
    return cut(points[[*_ABOUT, "index", "phase", "category", "bytes"]], MOST_PANELS)


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """A panel per workload."""
    panels = {name: _wide(part) for name, part in numbers.groupby("workload", sort=False)}
    note = wrapped(_notes(panels, numbers), columns)
    across = min(columns, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(columns, height=1.4 * down + 0.5 + note_height(note))
    colour = _category_colours(panels)
    grid = figure.subplots(down, across, squeeze=False)
    common = None if _own_scales(panels) else max(_peak(wide) for wide in panels.values())
    for place, (name, wide) in enumerate(panels.items()):
        axes = grid[place // across][place % across]
        _panel(axes, wide, colour, common, inches=WIDTHS[columns] / across - 0.6)
        axes.set_title(textwrap.shorten(str(name), 62, placeholder=" ..."), loc="left", pad=10)
        if place % across == 0:
            axes.set_ylabel("live dynamic bytes")
        if place + across >= len(panels):
            axes.set_xlabel("allocations and frees")
    for place in range(len(panels), down * across):
        grid[place // across][place % across].set_visible(False)
    figure.legend(
        handles=_legend(panels, colour), loc="outside upper left", ncols=5 if columns == 2 else 3
    )
    add_note(figure, note)
    return figure


def _category_colours(panels: dict[Any, pd.DataFrame]) -> dict[str, Any]:
    """Of the categories that occur, from the bottom of the stack to its top."""
    present = {name for wide in panels.values() for name in wide.columns}
    known = [name for name in CATEGORIES if name in present]
    return colours([*known, *sorted(present - set(known))])


def _legend(panels: dict[Any, pd.DataFrame], colour: dict[str, Any]) -> list[Patch]:
    roots = {_root(name) for wide in panels.values() for name in wide.attrs["phases"][1:]}
    shades = {name: f"{name} ({name[0].upper()})" for name in _SHADES if name in roots}
    if roots - _SHADES.keys():
        shades[""] = "in no phase"
    return [
        *(Patch(facecolor=colour[name], label=name.replace("_", " ")) for name in colour),
        *(
            Patch(facecolor=_SHADES.get(name, "1"), edgecolor="0.5", label=label)
            for name, label in shades.items()
        ),
    ]


def _root(phase: str) -> str:
    return phase.split(".", 1)[0]


def _peak(wide: pd.DataFrame) -> float:
    return float(wide.sum(axis=1).max())


def _wide(points: pd.DataFrame) -> pd.DataFrame:
    """One row per point with a column per category; the phases are in ``attrs``."""
    wide = points.pivot(index="index", columns="category", values="bytes").astype(float)
    wide.columns = [str(name) for name in wide.columns]
    phases = points.drop_duplicates("index").set_index("index")["phase"].astype(str)
    wide.attrs = {"phases": phases[wide.index].tolist(), "events": int(points["events"].iloc[0])}
    return wide


def _own_scales(panels: dict[Any, pd.DataFrame]) -> bool:
    peaks = [_peak(wide) for wide in panels.values()]
    return max(peaks) > _OWN_SCALE_RATIO * min(peaks)


def _panel(
    axes: Axes, wide: pd.DataFrame, colour: dict[str, Any], highest: float | None, *, inches: float
) -> None:
    starts = wide.index.to_numpy(dtype=float)
    events = wide.attrs["events"]
    edges = np.append(starts, max(events, starts[-1]) + 1.0)
    total = wide.sum(axis=1).to_numpy()
    peak = float(total.max())
    _phases(axes, edges, wide.attrs["phases"], inches)
    below = np.zeros(len(wide))
    for name in [name for name in colour if name in wide]:
        above = below + wide[name].to_numpy()
        axes.stairs(above, edges, baseline=below, fill=True, color=colour[name], linewidth=0)
        axes.stairs(above, edges, baseline=None, color="0.1", linewidth=0.35)
        below = above
    _mark_peak(axes, edges, total, peak)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.22 * (highest or peak or 1.0))
    linear_byte_axis(axes.yaxis, most=6)


def _mark_peak(axes: Axes, edges: Any, total: Any, peak: float) -> None:
    place = int(total.argmax())
    middle = (edges[place] + edges[place + 1]) / 2
    right = middle > (edges[0] + edges[-1]) / 2
    axes.plot(middle, peak, "v", color="black", markersize=3.5, markeredgewidth=0, zorder=4)
    axes.annotate(
        f"{format_bytes(peak)} ({int(peak):,} B)",
        (middle, peak),
        xytext=(-4 if right else 4, 2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom",
        fontsize=6.5,
        zorder=5,
    )


def _phases(axes: Axes, edges: Any, phases: list[str], inches: float) -> None:
    """Shade the background by phase, and name each stretch above the panel where there is room."""
    roots = [_root(name) for name in phases]
    borders = [0, *(place for place in range(1, len(roots)) if roots[place] != roots[place - 1])]
    for first, end in zip(borders, [*borders[1:], len(roots)], strict=True):
        name, start, stop = roots[first], edges[first], edges[end]
        if name not in _SHADES:
            continue
        axes.axvspan(start, stop, color=_SHADES[name], linewidth=0, zorder=0)
        strip = Rectangle(
            (start, 1.0),
            stop - start,
            0.1,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            facecolor=_SHADES[name],
            edgecolor="white",
            linewidth=0.3,
        )
        axes.add_patch(strip)
        room = (stop - start) / (edges[-1] - edges[0]) * inches
        fitting = [text for text in (name, name[0].upper()) if 0.055 * len(text) + 0.02 < room]
        if fitting:
            middle = ((start + stop) / 2, 1.05)
            axes.text(
                *middle,
                fitting[0],
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="center",
                fontsize=6,
            )


def _notes(panels: dict[Any, pd.DataFrame], numbers: pd.DataFrame) -> list[str]:
    notes = ["Each panel has a scale of its own."] if _own_scales(panels) else []
    thinned = [name for name, wide in panels.items() if wide.attrs["events"] >= len(wide)]
    if thinned:
        notes.append("Of long steps the upper edge is drawn.")
    return [*notes, *not_shown(numbers.attrs.get("left_out", []))]
