"""FF-INT8's Table I: what naive INT8 gradients cost as a net gets deeper, ours beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D

from trainfit.plots.drawing.base import MissingDataError
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
_SAME = ["run", "batch_size", "epochs", "train_samples", "standardise", "shuffle"]
"""What trainings of one experiment share."""
_OTHER_FORMS = {"weights", "activations", "master", "checkpoint", "micro_batch"}

REMEDY = (
    "train the nets of the suite paper-ff-int8 (trainfit run paper-ff-int8 --data-root DIR), or add"
    " results/runs/mnist-int8-depth"
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Per depth, number format and source: accuracy, its deviation over seeds, and passes.

    All of ours are from one experiment: trainings of one run that differ in nothing but depth,
    number format and seed. Of several experiments the one with the most depths is taken, then the
    one with the most passes. ``lost_points`` is what INT8 loses to FP32 at the same depth, in
    percentage points.

    Raises:
        MissingDataError: No experiment has an accuracy of both formats at any depth.
    """
    rows = with_options(frame[(frame["dataset"] == "mnist") & frame["test_accuracy"].notna()])
    rows = rows[rows["algorithm"].isin(FORMATS.values())]
    rows = where(rows, "sizes", _is_of_table)
    rows = where(rows, "chosen", lambda chosen: not {*chosen} & _OTHER_FORMS)
    rows = rows.assign(hidden_layers=rows["sizes"].map(len) - 2)
    experiments = [_pairs(part) for _, part in rows.groupby(_SAME, sort=False, dropna=False)]
    found = max(experiments, key=lambda pairs: (len(pairs), *_weight(pairs)), default=[])
    if not found:
        raise MissingDataError(
            "no run has trained nets of 784 inputs and hidden layers of 500 on MNIST with both"
            " backprop and backprop_int8, each with the same options throughout",
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
        pair = [_trained(of_depth, kind) for kind in FORMATS]
        known = [each for each in pair if each is not None]
        if len(known) == len(FORMATS):
            lost = 100 * (known[0]["test_accuracy"] - known[1]["test_accuracy"])
            found += [{**each, "lost_points": lost} for each in known]
    return found


def _trained(rows: pd.DataFrame, kind: str) -> dict[str, Any] | None:
    chosen = rows[rows["algorithm"] == FORMATS[kind]].drop_duplicates("seed")
    if chosen.empty:
        return None
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
    figure = new_figure(columns, height=2.3 if columns == 2 else 4.0)
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
    right.set_ylabel("lost by INT8 (points)")
    for axes in (left, right):
        _depth_axis(axes, sorted(set(numbers["hidden_layers"])))
    figure.legend(
        handles=[
            Line2D([], [], label=f"{kind}, {source}", **_look(palette[kind], kind, source))
            for source in (HERE, PUBLISHED)
            for kind in FORMATS
        ],
        loc="outside upper center",
        ncols=4 if columns == 2 else 2,
    )
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
