"""Dynamic bytes at the peak of every phase, beside what the prediction and the device view say.

Only what comes and goes in a step is drawn. What a device must hold is that and the static bytes;
its limits are lines in figures of the sum, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from trainfit.plots.drawing.base import require
from trainfit.plots.drawing.layout import (
    add_note,
    folded,
    not_shown,
    note_height,
    row_places,
    wrapped,
)
from trainfit.plots.drawing.style import (
    PHASES,
    colours,
    format_bytes,
    hatch,
    linear_byte_axis,
    log_byte_axis,
    new_figure,
    styled,
)
from trainfit.plots.drawing.workloads import by_phase, cut, over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
ALSO = ("values",)
TITLE = "Peak memory by phase"

MOST_WORKLOADS = 36
_REMEDY = 'measure the memory: a suite with measure = ["memory"], or without that line'
_LOGARITHMIC_RATIO = 50.0
"""Where the largest peaks of workloads are further apart than this, the axis is logarithmic."""

_ABOUT = ["workload", "algorithm", "options", "model", "dataset", "batch_size", "seeds", "evidence"]
_FIGURES = ("peak_bytes", "predicted_bytes", "device_bytes")


def numbers(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """One row per workload and phase: measured peak, prediction and device view, in bytes.

    At most 36 workloads, one of every algorithm before a second of any; ``attrs["left_out"]``
    names the others. Of several seeds the mean, with the deviation (bytes seldom differ).

    Raises:
        MissingDataError: No workload has a measured peak.
    """
    known = require(frame, "peak_dynamic_bytes", remedy=_REMEDY)
    phases = by_phase(known, values, *_FIGURES)
    parts = [over_seeds(phases[phases["phase"] == phase], "peak_bytes") for phase in PHASES]
    result = pd.concat(parts).sort_index(kind="stable")
    columns = [*_FIGURES, "peak_bytes_deviation"]
    result[columns] = result[columns].astype("Float64")
    result = result.dropna(subset=["peak_bytes"])
    return cut(result[[*_ABOUT, "phase", *columns]], MOST_WORKLOADS)


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """Horizontal bars, a group per workload; ticks for prediction and device view."""
    workloads = list(dict.fromkeys(numbers["workload"]))
    names = [folded(name, 38 if columns == 2 else 24, 6) for name in workloads]
    middles, heights = row_places(names, 0.34 if len(workloads) <= 12 else 0.25, 0.105)
    bar = 0.085 if len(workloads) <= 12 else 0.065
    y = {
        (name, phase): middle + (offset - 1) * (bar + 0.01)
        for name, middle in zip(workloads, middles, strict=True)
        for offset, phase in enumerate(PHASES)
    }
    logarithmic = _far_apart(numbers)
    notes = (
        ["Logarithmic axis: compare the ends of bars, not their lengths."] if logarithmic else []
    )
    note = wrapped([*notes, *not_shown(numbers.attrs.get("left_out", []))], columns)
    figure = new_figure(columns, height=max(1.6, sum(heights) + 0.8 + note_height(note)))
    axes = figure.subplots()
    if logarithmic:
        axes.set_xscale("log", base=2)
    colour = colours(PHASES)
    for phase in PHASES:
        part = numbers[numbers["phase"] == phase]
        at = np.array([y[name, phase] for name in part["workload"]])
        _bars(axes, at, bar, part, colour[phase])
        _ticks(axes, at, bar, part)
    _largest(axes, numbers, y)
    axes.set_yticks(middles, names, linespacing=1.08)
    axes.set_ylim(sum(heights), 0)
    axes.set_xlabel("peak dynamic bytes of a step")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    _scale(axes, numbers, logarithmic=logarithmic, columns=columns)
    figure.legend(
        handles=_legend(numbers, colour), loc="outside upper left", ncols=5 if columns == 2 else 3
    )
    add_note(figure, note)
    return figure


def _far_apart(numbers: pd.DataFrame) -> bool:
    peaks = numbers.groupby("workload")["peak_bytes"].max().astype(float)
    return bool(peaks.max() > _LOGARITHMIC_RATIO * max(peaks.min(), 1.0))


def _bars(axes: Axes, y: Any, bar_height: float, part: pd.DataFrame, colour: Any) -> None:
    deviation = part["peak_bytes_deviation"].fillna(0).to_numpy(dtype=float)
    bars = axes.barh(
        y,
        part["peak_bytes"].to_numpy(dtype=float),
        height=bar_height,
        color=colour,
        edgecolor="white",
        xerr=deviation if deviation.any() else None,
        error_kw={"elinewidth": 0.6, "capsize": 1.5},
    )
    for bar, evidence in zip(bars, part["evidence"], strict=True):
        bar.set_hatch(hatch(evidence))


def _ticks(axes: Axes, y: Any, bar_height: float, part: pd.DataFrame) -> None:
    predicted = part["predicted_bytes"].to_numpy(dtype=float, na_value=np.nan)
    device = part["device_bytes"].to_numpy(dtype=float, na_value=np.nan)
    reach = 0.6 * bar_height
    axes.vlines(predicted, y - reach, y + reach, color="black", linewidth=1.3, zorder=4)
    axes.plot(device, y, **_DEVICE)


_DEVICE: dict[str, Any] = {
    "linestyle": "none",
    "marker": "D",
    "markersize": 2.6,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
    "zorder": 5,
}


def _largest(axes: Axes, numbers: pd.DataFrame, y: dict[tuple[str, str], float]) -> None:
    """Write the peak of the step behind the bar of its phase."""
    for name, part in numbers.groupby("workload", sort=False):
        top = part.iloc[int(part["peak_bytes"].to_numpy(dtype=float).argmax())]
        reach = top[list(_FIGURES)].astype("Float64").max()
        axes.annotate(
            format_bytes(float(top["peak_bytes"])),
            (float(reach), y[str(name), top["phase"]]),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )


def _scale(axes: Axes, numbers: pd.DataFrame, *, logarithmic: bool, columns: int) -> None:
    figures = numbers[list(_FIGURES)].astype("Float64")
    highest = float(figures.max().max())
    room = 1.12 if columns == 2 else 1.25  # for the text behind the longest bar
    if logarithmic:
        lowest = float(figures[figures > 0].min().min())
        axes.set_xlim(lowest / 2, highest * (highest / lowest) ** (room - 1))
        log_byte_axis(axes.xaxis)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=9 if columns == 2 else 4))
    else:
        axes.set_xlim(0, max(1.0, highest * room))
        linear_byte_axis(axes.xaxis, most=8 if columns == 2 else 4)


def _legend(numbers: pd.DataFrame, colour: dict[str, Any]) -> list[Any]:
    handles: list[Any] = [Patch(facecolor=colour[phase], label=phase) for phase in PHASES]
    if numbers["predicted_bytes"].notna().any():
        tick: dict[str, Any] = {
            "linestyle": "none",
            "marker": "|",
            "markersize": 7,
            "markeredgewidth": 1.3,
        }
        handles.append(Line2D([], [], color="black", label="predicted", **tick))
    if numbers["device_bytes"].notna().any():
        handles.append(Line2D([], [], label="device view", **_DEVICE))
    return handles
