"""How weight gradients are distributed, per layer and rule, and what INT8 would leave of them.

A number format of b bits with one scale sees a gradient in units of its largest value: what counts
is how many factors of two below that value most of it lies. FF-INT8 argues from this that layers
which learn alone are easier to train in INT8 than a chain of gradients.

A rule whose products have INT8 operands has rounded before: small values are exactly 0 there, and
are not counted, so that its share of what is rounded to 0 looks better than that of a float rule.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trainfit.plots.drawing.base import MissingDataError, require
from trainfit.plots.drawing.layout import (
    add_note,
    legend_columns,
    legend_height,
    not_shown,
    note_height,
    wrapped,
)
from trainfit.plots.drawing.style import DASHES, colours, hatch, new_figure, styled
from trainfit.plots.drawing.workloads import RECORD, cut, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "gradients"
TITLE = "Distribution of weight gradients, and what INT8 leaves of them"

REMEDY = 'name "gradients" in the suite\'s measure, as results/suites/mnist-gradients.toml does'

MOST = 6
"""Workloads in one figure."""

LAST_OCTAVE = 16
"""Factors of two below the largest value that are drawn; the numbers have all."""

HALF_STEP = float(np.log2(1 / 254))
"""Half a step of INT8: what is smaller becomes 0."""

_KEYS = ("workload", "algorithm", "options", "model", "dataset", "tensor")
_OF_PART = ("quantity", "log2_of_largest", "evidence")
_ERRORS = {
    "int8_relative_rms": "relative RMS error (%)",
    "int8_rounded_to_zero": "rounded to 0 (%)",
}


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Long: one row per workload, weight tensor and ``quantity``, the mean over seeds.

    They are those of the last moment at which a workload's gradients were probed.

    ``share`` is the share of the values other than 0 in the factor of two below
    ``2**log2_of_largest`` of the largest one (what is smaller than the last of these is in none);
    ``int8_relative_rms`` and ``int8_rounded_to_zero`` are those of rounding the tensor to INT8.
    ``deviation`` is the sample's, over ``seeds``.

    Raises:
        MissingDataError: No workload of the run has a gradient.
    """
    known = require(frame, "histogram", remedy=REMEDY)
    known = known[known["int8_relative_rms"].notna()]
    last = known.groupby(RECORD, dropna=False)["pass"].transform("max")
    known = known[known["pass"] == last]
    if known.empty:
        reasons = frame["reason"].dropna()
        why = f": {reasons.iloc[0]}" if len(reasons) else ""
        raise MissingDataError(f"no workload of the run has a gradient{why}", REMEDY)
    rows = [
        part
        for row in named(known, "stage", "tensor", passes=True).to_dict("records")
        for part in _parts(row)
    ]
    groups = pd.DataFrame(rows).groupby([*_KEYS, *_OF_PART], sort=False, dropna=False)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index()
    table = table.rename(columns={"mean": "value", "std": "deviation", "count": "seeds"})
    table["log2_of_largest"] = table["log2_of_largest"].astype("Int64")
    return table


def _parts(row: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
    """The shares of the octaves of a tensor, and its errors in INT8."""
    known = {name: row[name] for name in _KEYS}
    live = row["count"] - row["zeros"]
    found: list[tuple[Any, ...]] = [
        ("share", -octave, row["evidence"], count / live)
        for octave, count in enumerate(json.loads(row["histogram"]))
    ]
    found += [(name, None, row["int8_evidence"], row[name]) for name in _ERRORS]
    for part in found:
        yield known | dict(zip((*_OF_PART, "value"), part, strict=True))


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """Small multiples, one per weight tensor; below them the error of INT8 in bars."""
    numbers = cut(numbers, MOST)
    workloads = list(dict.fromkeys(numbers["workload"]))
    tensors, alone = _tensors(numbers)
    counted = (
        "Gradients that are exactly 0 are not counted. Mean and standard deviation over seeds."
    )
    note = wrapped([counted, *not_shown(numbers.attrs["left_out"]), *_not_compared(alone)], columns)
    across = min(len(tensors), 3 if columns == 2 else 2)
    down = -(-len(tensors) // across)
    legend = legend_height(workloads, columns)
    bars = 1.75 if columns == 2 else 3.2
    height = 1.55 * down + 0.25 + bars + legend + note_height(note)
    figure = new_figure(columns, height=height)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.55 * down + 0.25 + legend, bars])
    top, bottom = halves
    paint = colours(workloads)
    panels = top.subplots(down, across, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, tensor in zip(panels, tensors, strict=False):
        _distribution(axes, numbers[numbers["tensor"] == tensor], tensor, paint)
    panels[0].set_ylim(0, 110 * numbers.loc[numbers["quantity"] == "share", "value"].max())
    for place, axes in enumerate(panels):
        axes.set_visible(place < len(tensors))
        if place + across >= len(tensors):  # nothing is below it
            axes.tick_params(labelbottom=True)
    top.supxlabel(r"$\log_2$ (|gradient| / largest)", fontsize=7)
    top.supylabel("share of values (%)", fontsize=7)
    drawn: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        drawn |= dict(zip(labels, handles, strict=True))
    known = {name: drawn[name] for name in workloads if name in drawn}
    ncols = legend_columns(workloads, columns)
    top.legend(known.values(), known.keys(), loc="outside upper center", ncols=ncols)
    shape = (1, 2) if columns == 2 else (2, 1)
    for axes, quantity in zip(bottom.subplots(*shape), _ERRORS, strict=True):
        _errors(axes, numbers[numbers["quantity"] == quantity], tensors, paint)
        axes.set_ylabel(_ERRORS[quantity])
    add_note(bottom, note)
    return figure


def _tensors(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The tensors that workloads are compared on, and those that only one of several has."""
    counts = rows.groupby("tensor", sort=False)["workload"].nunique()
    if rows["workload"].nunique() == 1 or counts.max() == 1:
        return list(counts.index), []
    shared = sorted(counts.index[counts > 1])
    return shared, sorted(counts.index[counts == 1])


def _not_compared(alone: list[str]) -> list[str]:
    if not alone:
        return []
    return [f"Not shown: {', '.join(alone)}, which only one of the workloads has."]


def _distribution(axes: Axes, rows: pd.DataFrame, tensor: str, paint: dict[Any, Any]) -> None:
    """Step histograms over the octaves below the largest value."""
    shares = rows[rows["quantity"] == "share"]
    for number, (workload, part) in enumerate(paint.items()):
        own = shares[shares["workload"] == workload].sort_values("log2_of_largest")
        own = own[own["log2_of_largest"] > -LAST_OCTAVE]
        if own.empty:
            continue
        upper = own["log2_of_largest"].to_numpy(dtype=float)
        axes.stairs(
            100 * own["value"].to_numpy(dtype=float),
            np.append(upper - 1, upper[-1]),
            color=part,
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.1,
            label=workload,
            baseline=None,
        )
    axes.axvspan(-LAST_OCTAVE, HALF_STEP, color="0.92", linewidth=0, zorder=0)
    axes.set_xlim(-LAST_OCTAVE, 0)
    axes.set_xticks(range(-LAST_OCTAVE, 1, 4))
    axes.set_title(tensor, loc="left", pad=2)
    axes.annotate(
        "0 in INT8",
        (-LAST_OCTAVE + 0.3, 0.97),
        xycoords=("data", "axes fraction"),
        va="top",
        fontsize=6,
        color="0.3",
    )


def _errors(axes: Axes, rows: pd.DataFrame, tensors: list[str], paint: dict[Any, Any]) -> None:
    """Bars per tensor, side by side in the order of the legend."""
    width = min(0.8 / len(paint), 0.25)
    middle = (len(paint) - 1) / 2
    for number, (workload, part) in enumerate(paint.items()):
        own = rows[rows["workload"] == workload].set_index("tensor")
        found = [(place, own.loc[name]) for place, name in enumerate(tensors) if name in own.index]
        if not found:
            continue
        deviations = [100 * row["deviation"] for _, row in found]
        axes.bar(
            [place + width * (number - middle) for place, _ in found],
            [100 * row["value"] for _, row in found],
            width * 0.92,
            yerr=None if np.isnan(deviations).all() else np.nan_to_num(deviations),
            error_kw={"elinewidth": 0.6, "capsize": 1.5, "capthick": 0.6},
            color=part,
            edgecolor="white",
            hatch=hatch(found[0][1]["evidence"]),
        )
    axes.set_xticks(range(len(tensors)), tensors)
    axes.set_xlabel("weight tensor, rounded to INT8")
    axes.set_xlim(-0.5, len(tensors) - 0.5)
    axes.margins(y=0.1)
    axes.grid(axis="y")
