"""FF-INT8's Fig. 6: accuracy against passes with and without look-ahead, its points beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.layout import add_note, not_shown, note_height, wrapped
from trainfit.plots.drawing.style import looks, new_figure, styled
from trainfit.plots.papers.published import FIGURE_6, FIGURE_6_SOURCE
from trainfit.plots.papers.rows import (
    HERE,
    OPEN_MARKER,
    PUBLISHED,
    one_experiment,
    over_seeds,
    where,
    with_options,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "curves"
TITLE = "Convergence of FF-INT8 with and without look-ahead, beside its Fig. 6"

SIZES = (784, 1000, 1000, 10)
MODES = {
    "off": "without look-ahead",
    "true": "with look-ahead",
    "detached": "with look-ahead, detached",
}
"""Values of the option ``lookahead``; the paper's "on" is our ``true``."""

REMEDY = (
    "train ff_int8 with lookahead off and true (trainfit run paper-ff-int8 --data-root DIR), or add"
    " results/runs/mnist-ff-int8"
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Per mode of look-ahead and pass: mean test accuracy and its deviation over seeds.

    All modes are of one experiment, their rate included; a mode that was trained otherwise is not
    drawn, and ``attrs["left_out"]`` says how it differs.

    Raises:
        MissingDataError: No training of ``ff_int8`` has a curve.
    """
    rows = with_options(frame[(frame["algorithm"] == "ff_int8") & (frame["dataset"] == "mnist")])
    rows = where(rows, "sizes", lambda sizes: sizes == SIZES)
    modes = [str(chosen.get("lookahead", "off")) for chosen in rows["chosen"]]
    rows = rows.assign(look_ahead=pd.Series(modes, rows.index, dtype=object))
    chosen, left_out = one_experiment(rows, "look_ahead")
    found: list[dict[str, Any]] = [
        {"look_ahead": mode, "source": HERE, "pass": number, **over_seeds(at_pass)}
        for mode in MODES
        for number, at_pass in chosen[chosen["look_ahead"] == mode].groupby("pass")
    ]
    if not found:
        raise MissingDataError(
            "no training of ff_int8 on the MLP 784-1000-1000-10 and MNIST has a curve", REMEDY
        )
    table = pd.DataFrame([*found, *_published()])
    table.attrs["left_out"] = [f"look-ahead {each}" for each in left_out]
    return table


def _published() -> list[dict[str, Any]]:
    return [
        {
            "look_ahead": "true" if mode == "on" else mode,
            "source": PUBLISHED,
            "pass": point.passes,
            "test_accuracy": point.accuracy,
            "options": f"{FIGURE_6_SOURCE}: {point.text}",
            "runs": "",
        }
        for mode, point in FIGURE_6.items()
    ]


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """All passes with the published points, and ours alone."""
    note = wrapped(not_shown(numbers.attrs.get("left_out", [])), columns)
    figure = new_figure(columns, height=(2.4 if columns == 2 else 4.2) + note_height(note))
    beside, alone = figure.subplots(1, 2) if columns == 2 else figure.subplots(2, 1)
    ours = numbers[numbers["source"] == HERE]
    modes = [mode for mode in MODES if mode in set(numbers["look_ahead"])]
    for mode, look in looks(modes).items():
        curve = ours[ours["look_ahead"] == mode].sort_values("pass")
        for axes in (beside, alone) if len(curve) else ():
            _curve(axes, curve, {**look, "label": f"{MODES[mode]}, ours"})
        point = numbers[(numbers["source"] == PUBLISHED) & (numbers["look_ahead"] == mode)]
        beside.plot(
            point["pass"],
            100 * point["test_accuracy"],
            **{**look, **OPEN_MARKER, "linestyle": "none", "markeredgecolor": look["color"]},
            label=f"{MODES[mode]}, published (approximate)" if len(point) else None,
        )
    beside.set_xscale("log")
    beside.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]))
    beside.xaxis.set_major_formatter(ScalarFormatter())
    beside.xaxis.set_minor_locator(NullLocator())
    beside.xaxis.set_minor_formatter(NullFormatter())
    for axes, what in (
        (beside, "passes over the training data"),
        (alone, "passes over the training data (ours only)"),
    ):
        axes.set_xlabel(what)
        axes.set_ylabel("test accuracy on MNIST (%)")
        axes.grid()
    handles, labels = beside.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2 if columns == 2 else 1)
    add_note(figure, note)
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, look: dict[str, Any]) -> None:
    accuracy = 100 * curve["test_accuracy"].astype(float)
    axes.plot(curve["pass"], accuracy, markersize=3, **look)
    deviation = 100 * curve["test_accuracy_deviation"].astype(float)
    if deviation.notna().any():
        low, high = accuracy - deviation, accuracy + deviation
        axes.fill_between(curve["pass"], low, high, color=look["color"], alpha=0.25, linewidth=0)
