"""What is left of the accuracy of a trained net when its weights are rounded or get noise."""

from __future__ import annotations

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
from trainfit.plots.drawing.style import looks, new_figure, styled
from trainfit.plots.drawing.workloads import cut, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "noise"
TITLE = "Accuracy against the bits of the weights, and against noise on them"

REMEDY = 'name "noise" in the suite\'s measure, as results/suites/mnist-noise.toml does'

MOST = 8
"""Workloads in one figure."""

_PANELS = {
    "bits": ("bits", "bits per weight"),
    "uniform": ("amplitude", "uniform noise (±% of the largest weight)"),
}


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per workload and disturbance: the mean over seeds, of the training and of the noise.

    ``disturbance`` is ``none``, ``bits`` (then ``bits`` has a value) or ``uniform``
    (``amplitude``, a share of the largest weight of a tensor). ``measured`` counts the accuracies
    that ``deviation`` is the sample's of.

    Raises:
        MissingDataError: No workload's weights were disturbed.
    """
    known = require(frame, "disturbance", remedy=REMEDY)
    known = known[known["test_accuracy"].notna()]
    if known.empty:
        reasons = frame["reason"].dropna()
        why = f": {reasons.iloc[0]}" if len(reasons) else ""
        raise MissingDataError(f"no workload of the run has an accuracy under noise{why}", REMEDY)
    rows = named(known, "disturbance", "bits", "amplitude", "noise_seed", passes=True)
    keys = ["workload", "algorithm", "options", "model", "dataset", "samples"]
    keys += ["disturbance", "bits", "amplitude"]
    groups = rows.groupby(keys, sort=False, dropna=False)["test_accuracy"]
    table = groups.agg(["mean", "std", "count"]).reset_index()
    return table.rename(columns={"mean": "test_accuracy", "std": "deviation", "count": "measured"})


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """Two panels, one line per workload; on the left of each the net as it was trained."""
    numbers = cut(numbers, MOST)
    workloads = list(dict.fromkeys(numbers["workload"]))
    measured = int(numbers["measured"].max())
    said = [] if measured == 1 else ["Mean and standard deviation over seeds."]
    note = wrapped([*said, *not_shown(numbers.attrs["left_out"])], columns)
    legend = legend_height(workloads, columns)
    height = (2.3 if columns == 2 else 4.2) + legend + note_height(note)
    figure = new_figure(columns, height=height)
    shape = (1, 2) if columns == 2 else (2, 1)
    panels = figure.subplots(*shape, sharey=True)
    look = looks(workloads)
    for axes, disturbance in zip(panels, _PANELS, strict=True):
        _panel(axes, numbers, disturbance, look)
        if columns == 1 or axes is panels[0]:
            axes.set_ylabel("test accuracy (%)")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=legend_columns(workloads, columns),
    )
    add_note(figure, note)
    return figure


def _panel(axes: Axes, numbers: pd.DataFrame, disturbance: str, look: dict[Any, Any]) -> None:
    column, label = _PANELS[disturbance]
    part = numbers[numbers["disturbance"] == disturbance]
    levels = sorted(part[column].astype(float).unique(), reverse=disturbance == "bits")
    places = {level: place for place, level in enumerate(levels, start=1)}
    for number, (workload, line) in enumerate(look.items()):
        own = numbers[numbers["workload"] == workload]
        plain = own[own["disturbance"] == "none"]
        own = own[own["disturbance"] == disturbance]
        x = [0.0] * len(plain) + [places[level] for level in own[column].astype(float)]
        rows = pd.concat([plain, own])
        deviation = 100 * rows["deviation"].to_numpy(dtype=float)
        shift = 0.035 * (number - (len(look) - 1) / 2)  # so that bars do not cover each other
        axes.errorbar(
            np.array(x) + shift,
            100 * rows["test_accuracy"].to_numpy(dtype=float),
            yerr=None if np.isnan(deviation).all() else np.nan_to_num(deviation),
            **line,
            markersize=3.5,
            elinewidth=0.6,
            capsize=1.5,
            label=workload,
        )
    ticks = [f"{level:.0f}" if disturbance == "bits" else f"{100 * level:g}" for level in levels]
    axes.set_xticks(range(len(levels) + 1), ["as\ntrained", *ticks])
    axes.set_xlabel(label)
    axes.set_ylim(0, 100)
    axes.grid(axis="y")
