"""FF-INT8's Fig. 6: accuracy against passes with and without look-ahead, its points beside ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.style import looks, new_figure, styled
from trainfit.plots.papers.published import FIGURE_6, FIGURE_6_SOURCE
from trainfit.plots.papers.rows import (
    HERE,
    OPEN_MARKER,
    PUBLISHED,
    longest,
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

    Of several trainings of a mode the one with the most passes counts.

    Raises:
        MissingDataError: No training of ``ff_int8`` has a curve.
    """
    rows = with_options(frame[(frame["algorithm"] == "ff_int8") & (frame["dataset"] == "mnist")])
    rows = where(rows, "sizes", lambda sizes: sizes == SIZES)
    found: list[dict[str, Any]] = []
    for mode in MODES:
        of_mode = where(rows, "chosen", _in_mode(mode))
        if of_mode.empty:
            continue
        best = longest(of_mode)
        same = of_mode[
            (of_mode["options"] == best["options"].iloc[0])
            & (of_mode["epochs"] == best["epochs"].iloc[0])
        ].drop_duplicates(["seed", "pass"])
        found += [
            {"look_ahead": mode, "source": HERE, "pass": number, **over_seeds(at_pass)}
            for number, at_pass in same.groupby("pass")
        ]
    if not found:
        raise MissingDataError(
            "no training of ff_int8 on the MLP 784-1000-1000-10 and MNIST has a curve", REMEDY
        )
    return pd.DataFrame([*found, *_published()])


def _in_mode(mode: str) -> Callable[[dict[str, Any]], bool]:
    return lambda chosen: bool(chosen.get("lookahead", "off") == mode)


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
    figure = new_figure(columns, height=2.4 if columns == 2 else 4.2)
    beside, alone = figure.subplots(1, 2) if columns == 2 else figure.subplots(2, 1)
    ours = numbers[numbers["source"] == HERE]
    modes = [mode for mode in MODES if mode in set(numbers["look_ahead"])]
    for mode, look in looks(modes).items():
        curve = ours[ours["look_ahead"] == mode].sort_values("pass")
        for axes in (beside, alone) if len(curve) else ():
            _curve(axes, curve, {**look, "label": f"{MODES[mode]}, here"})
        point = numbers[(numbers["source"] == PUBLISHED) & (numbers["look_ahead"] == mode)]
        beside.plot(
            point["pass"],
            100 * point["test_accuracy"],
            **look | OPEN_MARKER | {"linestyle": "none", "markeredgecolor": look["color"]},
            label=f"{MODES[mode]}, published (about)" if len(point) else None,
        )
    beside.set_xscale("log")
    beside.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]))
    beside.xaxis.set_major_formatter(ScalarFormatter())
    beside.xaxis.set_minor_locator(NullLocator())
    beside.xaxis.set_minor_formatter(NullFormatter())
    for axes, what in ((beside, "passes over the training data"), (alone, "passes, here alone")):
        axes.set_xlabel(what)
        axes.set_ylabel("test accuracy on MNIST (%)")
        axes.grid()
    handles, labels = beside.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2 if columns == 2 else 1)
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, look: dict[str, Any]) -> None:
    accuracy = 100 * curve["test_accuracy"].astype(float)
    axes.plot(curve["pass"], accuracy, markersize=3, **look)
    deviation = 100 * curve["test_accuracy_deviation"].astype(float)
    if deviation.notna().any():
        low, high = accuracy - deviation, accuracy + deviation
        axes.fill_between(curve["pass"], low, high, color=look["color"], alpha=0.25, linewidth=0)
