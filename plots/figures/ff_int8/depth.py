"""FF-INT8's Table I: what naive INT8 gradients cost as a net gets deeper, ours beside it."""

from __future__ import annotations

from collections.abc import Callable
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
    longest,
    origin,
    spread,
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
_OTHER_FORMS = {"weights", "activations", "master", "checkpoint", "micro_batch"}

REMEDY = (
    "train the nets of the suite paper-ff-int8 (trainfit run paper-ff-int8 --data-root DIR), or add"
    " results/runs/mnist-int8-depth"
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Per depth, number format and source: accuracy, its deviation over seeds, and passes.

    ``lost_points`` is what INT8 loses to FP32 at the same depth, in percentage points.

    Raises:
        MissingDataError: No depth has an accuracy of both formats.
    """
    rows = with_options(frame[(frame["dataset"] == "mnist") & frame["test_accuracy"].notna()])
    rows = where(rows, "sizes", _is_of_table)
    found: list[dict[str, Any]] = []
    for hidden in TABLE_I:
        of_depth = where(rows, "sizes", _has(hidden))
        pair = [_trained(of_depth, kind, hidden) for kind in FORMATS]
        known = [each for each in pair if each is not None]
        if len(known) == len(FORMATS):
            lost = 100 * (known[0]["test_accuracy"] - known[1]["test_accuracy"])
            found += [{**each, "lost_points": lost} for each in known]
    if not found:
        raise MissingDataError(
            "no net of 784 inputs and hidden layers of 500 has a test accuracy on MNIST of both"
            " backprop and backprop_int8",
            REMEDY,
        )
    return pd.DataFrame([*found, *_published()])


def _has(hidden: int) -> Callable[[tuple[int, ...]], bool]:
    return lambda sizes: len(sizes) == hidden + 2


def _is_of_table(sizes: tuple[int, ...]) -> bool:
    return len(sizes) > 1 and sizes[0] == 784 and all(width == WIDTH for width in sizes[1:-1])


def _trained(rows: pd.DataFrame, kind: str, hidden: int) -> dict[str, Any] | None:
    of_kind = rows[rows["algorithm"] == FORMATS[kind]]
    chosen = longest(where(of_kind, "chosen", lambda chosen: not {*chosen} & _OTHER_FORMS))
    accuracy, deviation = spread(chosen["test_accuracy"])
    if accuracy is None:
        return None
    return {
        "hidden_layers": hidden,
        "number_format": kind,
        "source": HERE,
        "test_accuracy": accuracy,
        "test_accuracy_deviation": deviation,
        "seeds": len(chosen),
        "epochs": int(chosen["epochs"].iloc[0]),
        "options": chosen["options"].iloc[0],
        "runs": origin(chosen),
    }


def _published() -> list[dict[str, Any]]:
    return [
        {
            "hidden_layers": hidden,
            "number_format": kind,
            "source": PUBLISHED,
            "test_accuracy": value,
            "test_accuracy_deviation": None,
            "seeds": None,
            "epochs": None,
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
