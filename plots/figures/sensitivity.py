"""How much accuracy depends on the learning rate, and on the threshold where a rule has one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.labels import short_labels
from trainfit.plots.drawing.layout import add_note, folded, note_height, wrapped
from trainfit.plots.drawing.style import new_figure, styled
from trainfit.plots.drawing.workloads import WORKLOAD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
TITLE = "Accuracy over learning rate and threshold"

REMEDY = (
    "give a workload per learning rate, as in results/suites/mnist-sensitivity.toml, and epochs"
)

NEAR = 0.02
"""How far below the best of its grid an accuracy may be and count as near it: two points."""

LEAST_RATES = 3
"""Learning rates that make a grid."""

_SWEPT = ("lr", "threshold")
_MAP = "cividis"


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of a grid, the mean over seeds.

    A grid is what workloads that differ only in ``lr`` and ``threshold`` make, with at least three
    rates. ``threshold`` is missing where none is set. A cell that was tried and came to nothing
    (most often because training diverged) has no accuracy. ``best`` is the best of the grid, and
    ``share_near_best`` the share of its ``cells`` within two points of it.

    Raises:
        MissingDataError: The run has no such grid with an accuracy in it.
    """
    rows = _cells(frame)
    keep = [name for name in WORKLOAD if name != "options"]
    grids = rows.groupby([*keep, "other_options"], sort=False, dropna=False)
    rows["grid"] = grids.ngroup()
    wide = grids["lr"].transform("nunique") >= LEAST_RATES
    rows = rows[wide & grids["test_accuracy"].transform("count").gt(0)]
    if rows.empty:
        raise MissingDataError(f"no rule was trained at {LEAST_RATES} learning rates", REMEDY)
    firsts = rows.drop_duplicates("grid").drop(columns=["seed", "options"])
    labels = short_labels(firsts.rename(columns={"other_options": "options"}), passes=True)
    rows["workload"] = rows["grid"].map(dict(zip(firsts["grid"], labels, strict=True)))
    keys = ["workload", "algorithm", "model", "dataset", "lr", "threshold"]
    cells = rows.groupby(keys, sort=False, dropna=False)["test_accuracy"]
    # A cell counts as it is only if every seed came to something.
    mean = cells.agg(lambda values: values.mean(skipna=False))
    table = mean.to_frame().assign(deviation=cells.std(), seeds=cells.size()).reset_index()
    by_grid = table.groupby("workload", sort=False)["test_accuracy"]
    table["best"] = by_grid.transform("max")
    table["near_best"] = table["test_accuracy"] >= table["best"] - NEAR
    table["cells"] = table.groupby("workload", sort=False)["lr"].transform("size")
    near = table.groupby("workload", sort=False)["near_best"].transform("sum")
    table["share_near_best"] = near / table["cells"]
    return table


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that were trained at a rate of their own, with ``lr`` and ``threshold``."""
    if "options" not in frame or "test_accuracy" not in frame:
        raise MissingDataError("the run has no test_accuracy", REMEDY)
    trained = frame[frame["epochs"].astype(float) > 0]
    options = [json.loads(text) for text in trained["options"]]
    rows = trained[[*WORKLOAD, "seed", "test_accuracy"]].copy()
    for name in _SWEPT:
        rows[name] = [each.get(name, np.nan) for each in options]
        rows[name] = rows[name].astype(float)
    rows["other_options"] = [
        json.dumps({key: value for key, value in each.items() if key not in _SWEPT})
        for each in options
    ]
    rows["test_accuracy"] = rows["test_accuracy"].astype(float)
    rows = rows[rows["lr"].notna()]
    if rows["test_accuracy"].isna().all():
        raise MissingDataError("the run has no test_accuracy at a learning rate of its own", REMEDY)
    return rows.drop_duplicates([*WORKLOAD, "seed"], keep="last")


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """A heat map per rule, the cells near its best framed; a strip where there is no threshold."""
    grids = [rows for _, rows in numbers.groupby("workload", sort=False)]
    grids.sort(key=lambda rows: -rows["threshold"].nunique(dropna=False))
    across = columns if len(grids) > 1 else 1
    lines = [grids[start : start + across] for start in range(0, len(grids), across)]
    cells = [max(rows["threshold"].nunique(dropna=False) for rows in line) for line in lines]
    note = wrapped(
        [
            f"Framed: within {100 * NEAR:g} points of the best of the panel.",
            *(
                ["x: no accuracy, training failed."]
                if numbers["test_accuracy"].isna().any()
                else []
            ),
        ],
        columns,
    )
    height = sum(0.78 + 0.27 * count for count in cells) + 0.55 + note_height(note)
    figure = new_figure(columns, height=height)
    panels = figure.subplots(len(lines), across, squeeze=False, height_ratios=cells)
    known = numbers["test_accuracy"].dropna()
    low, high = 10 * np.floor(10 * known.min()), 10 * np.ceil(10 * known.max())
    norm = Normalize(low, high if high > low else low + 10)
    for line, places in zip(lines, panels, strict=True):
        for rows, axes in zip(line, places, strict=False):
            _heat_map(axes, rows, norm, 34 if across > 1 else 50)
        for axes in places[len(line) :]:
            axes.set_visible(False)
    bar = figure.colorbar(
        ScalarMappable(norm, _MAP),
        ax=panels.ravel().tolist(),
        location="bottom",
        fraction=0.03,
        aspect=45,
        pad=0.02,
        shrink=0.7,
    )
    bar.set_label("test accuracy (%)")
    bar.outline.set_linewidth(0.4)
    add_note(figure, note)
    return figure


def _heat_map(axes: Axes, rows: pd.DataFrame, norm: Normalize, width: int) -> None:
    whole = rows.assign(threshold=rows["threshold"].fillna(np.inf))  # the default comes last
    grid = whole.pivot(index="threshold", columns="lr", values=["test_accuracy", "near_best"])
    accuracy, near = grid.xs("test_accuracy", axis=1), grid.xs("near_best", axis=1)
    percent, tried = 100 * accuracy.to_numpy(dtype=float), near.notna().to_numpy()
    axes.imshow(percent, norm=norm, cmap=_MAP, aspect="auto", origin="lower")
    for (down, right), value in np.ndenumerate(percent):
        failed = "x" if tried[down, right] else ""
        axes.annotate(
            failed if np.isnan(value) else f"{value:.1f}",
            (right, down),
            ha="center",
            va="center",
            fontsize=6.3,
            color="white" if float(norm(value)) < 0.55 else "black",
        )
    for down, right in np.argwhere(near.eq(True).to_numpy()):
        corner = (right - 0.46, down - 0.44)
        for colour, line in (("white", 1.8), ("black", 0.9)):
            frame = Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=colour, linewidth=line)
            axes.add_patch(frame)
    axes.set_xticks(range(accuracy.shape[1]), [f"{rate:g}" for rate in accuracy])
    axes.set_xlabel("learning rate")
    if np.isinf(grid.index).all():
        axes.set_yticks([])
    else:
        names = ["default" if np.isinf(value) else f"{value:g}" for value in grid.index]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylabel("threshold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    first = rows.iloc[0]
    share = (
        f"{rows['near_best'].sum()} of {first['cells']} ({100 * first['share_near_best']:.0f} %)"
    )
    count = f"{share} within {100 * NEAR:g} points of {100 * first['best']:.1f}"
    axes.set_title(f"{folded(first['workload'], width, 2)}\n{count}", loc="left", pad=3)
