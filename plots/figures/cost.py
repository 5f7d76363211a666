"""Time and energy of a step: measured here by phase, and modelled for devices as intervals."""

from __future__ import annotations

import textwrap
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedLocator, MaxNLocator, NullFormatter

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.costs import HERE, costs_of, unlike
from trainfit.plots.drawing.style import PHASES, colours, hatch, limit_line, new_figure, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "costs"
ALSO = ("values", "verdicts")
TITLE = "Time and energy of a step"

DEVICES = {1: 1, 2: 4}
"""Devices with a panel, by the columns of the figure."""
MOST = 30
"""Workloads with a row; those that come first."""

REMEDY = (
    'run a suite that measures latency (measure = [..., "latency"]), or with devices = "all" for '
    "what is modelled"
)
_CHARACTERS = {1: 26, 2: 36}
"""Of a workload's name on one line."""
_PITCH = {False: (0.17, 0.115), True: (0.2, 0.2)}
"""Inches of a row for time and for energy, without and with names on two lines."""
_PAGE = 8.4
"""Inches that all rows together may take."""

_NAMES = {"seconds": "time of a step", "joules": "energy of a step"}
_UNITS = {"seconds": "s", "joules": "J"}


def numbers(frame: pd.DataFrame, values: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """What :func:`trainfit.plots.drawing.costs.costs_of` says of every workload.

    Raises:
        MissingDataError: Nothing has a time or an energy, measured or modelled.
    """
    found = costs_of(frame, values, verdicts)
    if found.empty:
        raise MissingDataError("the run has no time and no energy of a step", REMEDY)
    return found


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """Above time, below energy: one panel measured, one per device; a row per workload."""
    names = list(dict.fromkeys(numbers["workload"]))
    width = _CHARACTERS[columns]
    pitch = _PITCH[max(map(len, names[:MOST])) > width]
    shown = names[: min(MOST, int(_PAGE / sum(pitch)))]
    rows = numbers[numbers["workload"].isin(shown)]
    devices = unlike(rows, DEVICES[columns])
    here = bool(rows.loc[rows["device"] == HERE, "value"].notna().any())
    heights = [each * len(shown) + 0.1 for each in pitch]
    figure = new_figure(columns, height=sum(heights) + 1.6)
    grid = figure.subplots(
        2,
        here + len(devices),
        height_ratios=heights,
        width_ratios=[1.25] * here + [1] * len(devices),
        sharey=True,
        squeeze=False,
    )
    for quantity, panels in zip(_UNITS, grid, strict=True):
        part = rows[rows["quantity"] == quantity]
        if here:
            _measured(panels[0], part[part["device"] == HERE], shown, quantity)
        for axes, device in zip(panels[here:], devices, strict=True):
            _modelled(axes, part[part["device"] == device], shown, quantity)
        _share(panels[here:], quantity)
        for axes in panels:
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_color("0.7")
    titles = [f"{HERE},\nmeasured"] * here
    titles += ["\n".join(textwrap.wrap(device, 14)) for device in devices]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    grid[0, 0].set_yticks(range(len(shown)), [_short(name, width) for name in shown])
    for label in grid[0, 0].get_yticklabels() + grid[1, 0].get_yticklabels():
        label.set(fontsize=6, linespacing=0.9)
    grid[0, 0].set_ylim(len(shown) - 0.4, -0.6)
    more = {
        "devices": numbers.loc[numbers["device"] != HERE, "device"].nunique() - len(devices),
        "workloads": len(names) - len(shown),
    }
    figure.legend(
        handles=_keys(rows, measured=here),
        title=_note(here, more, "\n" if columns == 1 else " "),
        title_fontsize=6,
        loc="outside lower center",
        ncols=3 if columns == 1 else 6,
        columnspacing=1.2,
    )
    return figure


def _short(name: str, width: int) -> str:
    """On two lines at most."""
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder=" ..."))


def _measured(axes: Axes, rows: pd.DataFrame, shown: list[str], quantity: str) -> None:
    """Bars by phase and a tick for the whole step, with their intervals."""
    here = rows.dropna(subset=["value"])
    if here.empty:
        tried = (rows["evidence"] == "unavailable").any()
        what = "no sensor:\nenergy is\nunavailable" if tried else "not measured"
        axes.text(0.5, 0.5, what, ha="center", va="center", transform=axes.transAxes, color="0.25")
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        return
    paint = colours(PHASES)
    thick = 0.8 / len(PHASES)
    for row in here.to_dict("records"):
        place = shown.index(row["workload"])
        if row["phase"] == "step":
            axes.plot([row["value"]] * 2, [place - 0.4, place + 0.4], **_STEP)
            up = float(place)
        else:
            up = place - 0.4 + thick * (PHASES.index(row["phase"]) + 0.5)
            axes.barh(up, row["value"], thick, color=paint[row["phase"]], edgecolor="white")
        ends = [row["low"], row["high"]]
        if not pd.isna(ends).any():
            axes.plot(ends, [up, up], **_INTERVAL)
    for place in set(range(len(shown))) - {shown.index(name) for name in here["workload"]}:
        _say(axes, "not measured", place)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(EngFormatter(_UNITS[quantity]))
    axes.set_xlabel(_NAMES[quantity])
    axes.grid(axis="x")


def _modelled(axes: Axes, rows: pd.DataFrame, shown: list[str], quantity: str) -> None:
    """An interval per workload, hatched, and the device's limit where it has one."""
    known = rows.dropna(subset=["low", "high"])
    places = [shown.index(name) for name in known["workload"]]
    axes.set_xscale("log")
    axes.barh(places, known["high"] - known["low"], 0.55, left=known["low"], **_MODELLED)
    for place in set(range(len(shown))) - set(places):
        _say(axes, "no model", place)
    for limit in rows["limit"].dropna().unique()[:1]:
        limit_line(axes, float(limit), horizontal=False)
    axes.set_xlabel(_NAMES[quantity])
    axes.grid(axis="x")


def _say(axes: Axes, what: str, place: int) -> None:
    """In the row of a workload, why there is nothing."""
    axes.annotate(
        what,
        (0.03, place),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=6,
        color="0.25",
    )


def _share(panels: Sequence[Axes], quantity: str) -> None:
    """One logarithmic axis for all devices, so that panels can be compared."""
    ends = [axes.dataLim.intervalx for axes in panels if axes.patches]
    if ends:
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        decades = [10.0**n for n in range(ceil(log10(low / 1.5)), floor(log10(high * 1.5)) + 1)]
        for axes in panels:
            axes.set_xlim(low / 1.5, high * 1.5)
            axes.xaxis.set_major_locator(FixedLocator(decades[:: -(-len(decades) // 2)]))
            axes.xaxis.set_minor_locator(FixedLocator(decades))
            axes.xaxis.set_major_formatter(EngFormatter(_UNITS[quantity]))
            axes.xaxis.set_minor_formatter(NullFormatter())


_STEP: dict[str, Any] = {"color": "black", "linewidth": 0.9, "solid_capstyle": "butt"}
_INTERVAL: dict[str, Any] = {"color": "black", "linewidth": 0.8, "solid_capstyle": "butt"}
_MODELLED: dict[str, Any] = {
    "facecolor": "0.93",
    "edgecolor": "0.35",
    "hatch": hatch("modelled"),
}


def _keys(rows: pd.DataFrame, *, measured: bool) -> list[Any]:
    keys: list[Any] = []
    if measured:
        keys += [Patch(color=colour, label=name) for name, colour in colours(PHASES).items()]
        keys.append(Line2D([], [], marker="|", linestyle="", color="black", label="whole step"))
    keys.append(Patch(**_MODELLED, label="modelled, from low to high"))
    if rows["limit"].notna().any():
        keys.append(Line2D([], [], color="0.25", linestyle=(0, (4, 2)), label="device's limit"))
    return keys


def _note(here: bool, more: dict[str, int], between: str) -> str:
    """What the figure leaves out."""
    left = [
        f"{count} more {what[:-1] if count == 1 else what}"
        for what, count in more.items()
        if count > 0
    ]
    notes = [] if here else ["Nothing was measured on this machine."]
    notes += [f"Not shown, but in the CSV: {' and '.join(left)}."] if left else []
    if more["devices"]:
        notes.append("The devices shown are those that differ most.")
    return between.join(notes)
