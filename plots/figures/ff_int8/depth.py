"""FF-INT8's Table I: what naive INT8 gradients cost as a net gets deeper, ours beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D

from trainfit._experiments import experiments, in_common, latest
from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.layout import add_note
from trainfit.plots.drawing.style import colours, new_figure, styled
from trainfit.plots.papers.published import TABLE_I, TABLE_I_SOURCE
from trainfit.plots.papers.rows import (
    HERE,
    OPEN_MARKER,
    PUBLISHED,
    line,
    over_seeds,
    where,
    with_options,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
TITLE = "Accuracy of naive INT8 training against depth, beside FF-INT8's Table I"

FORMATS = {"FP32": "backprop", "INT8": "backprop_int8"}
WIDTH = 500
COMPARED = ("model",)
"""What differs within the experiment; all else is the same, the rate included."""
_OTHER_FORMS = {"weights", "activations", "master", "checkpoint", "micro_batch"}

REMEDY = (
    "train the nets of the suite paper-ff-int8 (trainfit run paper-ff-int8 --data-root DIR), or add"
    " results/runs/mnist-int8-depth"
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Per depth, number format and source: accuracy, its deviation over seeds, and passes.

    All of ours are from one experiment (:mod:`trainfit._experiments`): trainings that differ in
    nothing but depth, number format and seed. Of several experiments the one with the most depths
    is taken, then the one with the most passes. ``lost_points`` is what INT8 loses to FP32 at the
    same depth with the same seeds, in percentage points.

    Raises:
        MissingDataError: No experiment has an accuracy of both formats at any depth.
    """
    rows = with_options(frame[(frame["dataset"] == "mnist") & frame["test_accuracy"].notna()])
    rows = rows[rows["algorithm"].isin(FORMATS.values())]
    rows = where(rows, "sizes", _is_of_table)
    rows = where(rows, "chosen", lambda chosen: not {*chosen} & _OTHER_FORMS)
    rows = rows.assign(hidden_layers=rows["sizes"].map(len) - 2)
    found = max(
        map(_pairs, experiments(rows, COMPARED)),
        key=lambda pairs: (len(pairs), *_weight(pairs)),
        default=[],
    )
    if not found:
        raise MissingDataError(
            "there is no experiment (same samples, passes, rate and seeds) in which nets of 784"
            " inputs and hidden layers of 500 were trained on MNIST with both backprop and"
            " backprop_int8, each with the same options throughout",
            REMEDY,
        )
    return pd.DataFrame([*found, *_published()])


def _weight(pairs: list[dict[str, Any]]) -> tuple[int, int]:
    """Passes and seeds of an experiment."""
    return (pairs[0]["epochs"], pairs[0]["seeds"]) if pairs else (0, 0)


def _is_of_table(sizes: tuple[int, ...]) -> bool:
    hidden = sizes[1:-1]
    return len(hidden) in TABLE_I and sizes[:1] == (784,) and set(hidden) <= {WIDTH}


def _pairs(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Both formats at every depth that has both; none of a sweep over options."""
    if rows.groupby("algorithm")["options"].nunique().gt(1).any():
        return []
    found: list[dict[str, Any]] = []
    for _, of_depth in rows.groupby("hidden_layers"):
        own = [latest(of_depth[of_depth["algorithm"] == rule]) for rule in FORMATS.values()]
        seeds = in_common(each["seed"].astype(int) for each in own)
        if not seeds:
            continue
        pair = [_trained(*each, seeds) for each in zip(own, FORMATS, strict=True)]
        lost = 100 * (pair[0]["test_accuracy"] - pair[1]["test_accuracy"])
        found += [{**each, "lost_points": lost} for each in pair]
    return found


def _trained(rows: pd.DataFrame, kind: str, seeds: list[int]) -> dict[str, Any]:
    chosen = rows[rows["seed"].isin(seeds)].drop_duplicates("seed", keep="last")
    about = {"hidden_layers": int(chosen["hidden_layers"].iloc[0]), "number_format": kind}
    epochs = int(chosen["epochs"].iloc[0])
    return {**about, "source": HERE, **over_seeds(chosen), "epochs": epochs}


def _published() -> list[dict[str, Any]]:
    return [
        {
            "hidden_layers": hidden,
            "number_format": kind,
            "source": PUBLISHED,
            "test_accuracy": value,
            "options": TABLE_I_SOURCE,
            "runs": "",
            "lost_points": 100 * (pair[0] - pair[1]),
        }
        for hidden, pair in TABLE_I.items()
        for kind, value in zip(FORMATS, pair, strict=True)
    ]


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """Accuracy against depth, and what INT8 loses."""
    figure = new_figure(columns, height=2.45 if columns == 2 else 4.15)
    left, right = figure.subplots(1, 2) if columns == 2 else figure.subplots(2, 1)
    palette = colours(FORMATS)
    for (kind, source), rows in numbers.groupby(["number_format", "source"], sort=False):
        look = _look(palette[str(kind)], str(kind), str(source))
        deviation = rows["test_accuracy_deviation"]
        line(left, rows["hidden_layers"], rows["test_accuracy"], deviation, **look)
    for source, rows in numbers[numbers["number_format"] == "INT8"].groupby("source", sort=False):
        look = _look(palette["INT8"], "INT8", str(source))
        right.plot(rows["hidden_layers"], rows["lost_points"], **look)
    right.axhline(0, color="0.6", linewidth=0.6)
    left.set_ylabel("test accuracy on MNIST (%)")
    right.set_ylabel("loss of INT8 (percentage points)")
    for axes in (left, right):
        _depth_axis(axes, sorted(set(numbers["hidden_layers"])))
    figure.legend(
        handles=[
            Line2D(
                [],
                [],
                label=f"{kind}, {'ours' if source == HERE else source}",
                **_look(palette[kind], kind, source),
            )
            for source in (HERE, PUBLISHED)
            for kind in FORMATS
        ],
        loc="outside upper center",
        ncols=4 if columns == 2 else 2,
    )
    add_note(figure, "Error bars: standard deviation over seeds.")
    return figure


def _look(colour: Any, kind: str, source: str) -> dict[str, Any]:
    """INT8 has squares, FP32 circles; what was published is open and dashed."""
    look: dict[str, Any] = {"marker": "s" if kind == "INT8" else "o", "color": colour}
    if source == PUBLISHED:
        look |= {**OPEN_MARKER, "color": colour, "markeredgecolor": colour, "linestyle": "dashed"}
    return look


def _depth_axis(axes: Axes, depths: list[int]) -> None:
    axes.set_xticks(depths)
    axes.set_xlim(depths[0] - 0.2, depths[-1] + 0.2)
    axes.set_xlabel("hidden layers of 500 units")
    axes.grid(axis="y")
