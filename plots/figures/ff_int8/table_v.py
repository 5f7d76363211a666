"""FF-INT8's Table V for the MLP, ours beside it: bytes, accuracy, modelled time and energy.

Everything is a ratio to FP32, but for accuracy: their megabytes hold the framework, their seconds
and joules a training of unknown length, ours one step. GDAI8 is not among our algorithms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.layout import add_note, not_shown, note_height, wrapped
from trainfit.plots.drawing.style import colours, hatch, new_figure, styled
from trainfit.plots.drawing.workloads import texts
from trainfit.plots.papers.published import STAND_IN, TABLE_V
from trainfit.plots.papers.rows import (
    OPEN,
    OPEN_MARKER,
    first,
    note_at_end,
    one_experiment,
    origin,
    over_seeds,
    ratio,
    where,
    with_options,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
ALSO = ("costs",)
TITLE = "Bytes, accuracy, time and energy of the MLP, beside FF-INT8's Table V"

SIZES = (784, 1000, 1000, 10)
BATCH = 32
BOARD = "jetson-orin-nano-4gb"
"""The paper's; another modelled device is taken where this one was not."""

BASE = "FP32"
RULES: Mapping[str, tuple[str, tuple[str, ...], str | None]] = {
    BASE: ("backprop", (), "FP32"),
    "INT8": ("backprop_int8", (), "INT8"),
    "UI8": ("backprop_ui8", (), "UI8"),
    STAND_IN: ("backprop_dai8", (), "GDAI8"),
    "FF-INT8": ("ff_int8", ("true", "detached"), "FF-INT8"),
    "FF-INT8, no look-ahead": ("ff_int8", ("off",), None),
}
"""Row to algorithm, values of ``lookahead``, and column of the published table."""

REMEDY = "run the suite paper-ff-int8 (trainfit run paper-ff-int8 --data-root DIR)"

_MOMENTUM = {"backprop": 0.9, "backprop_ui8": 0.9, "backprop_dai8": 0.9}
"""Of the algorithms that have one by default."""

_RATIOS = {
    "ram": "ram_bytes",
    "published_megabytes": "published_megabytes",
    "modelled_seconds_low": "modelled_seconds_low",
    "modelled_seconds_high": "modelled_seconds_high",
    "published_training_seconds": "published_training_seconds",
    "modelled_joules_low": "modelled_joules_low",
    "modelled_joules_high": "modelled_joules_high",
    "published_training_joules": "published_training_joules",
    "step_seconds_median": "step_seconds_median",
}
"""Ratio to figure, each over FP32's."""

_OTHER_FORMS = ("weights", "activations", "checkpoint", "micro_batch", "update", "slices", "master")


def numbers(frame: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """One row per rule: ours, the published figures, and both as ratios to FP32's.

    Memory is RAM: static plus peak dynamic bytes. Rules without momentum are preferred to those
    with one. Modelled intervals are of one step of ``device``; a ratio is taken between the
    low ends, and between the high ends. Accuracies are of one experiment, each rule at its own
    rate; ``attrs["left_out"]`` says which rules were trained otherwise. Times are of one run.

    Raises:
        MissingDataError: Bytes of FP32, or of every other rule, are not in the frame.
    """
    rows = _of_net(frame)
    none = frame[:0].assign(device=None, quantity=None, low=None, high=None)
    modelled = _of_net((costs if len(costs) else none).dropna(subset=["device", "low"]))
    devices = list(dict.fromkeys(modelled["device"]))
    device = BOARD if BOARD in devices else next(iter(devices), None)
    modelled = modelled[modelled["device"] == device]
    forms = [_of_rule(rows, *RULES[rule][:2]).assign(rule=rule) for rule in RULES]
    own = pd.concat(forms)
    trained, left_out = one_experiment(own[own["test_accuracy"].notna()], "rule", ("rate",))
    timed = _of_one_run(own.dropna(subset=["step_seconds_median"]))
    found = [
        _row(rule, form, _of_rule(modelled, *RULES[rule][:2]), trained, timed) | {"device": device}
        for rule, form in zip(RULES, forms, strict=True)
    ]
    known = [each["rule"] for each in found if each["ram_bytes"] is not None]
    if BASE not in known or len(known) < 2:
        raise MissingDataError(
            "no bytes of backprop and another of Table V's rules on 784-1000-1000-10 in batches of"
            " 32",
            REMEDY,
        )
    base = found[0]
    table = pd.DataFrame([_with_ratios(each, base) for each in found])
    table.attrs["left_out"] = left_out
    return table


def _of_one_run(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the run that has the most rules: times of two runs are not compared."""
    if rows.empty:
        return rows
    counts = rows.groupby("run", sort=False, observed=True)["rule"].nunique()
    return rows[rows["run"] == counts.idxmax()]


def _of_net(frame: pd.DataFrame) -> pd.DataFrame:
    rows = with_options(texts(frame[frame["batch_size"] == BATCH]))
    return where(rows, "sizes", lambda sizes: sizes == SIZES)


def _in_form(modes: tuple[str, ...]) -> Callable[[dict[str, Any]], bool]:
    """The plain form of a rule, with one of these modes of look-ahead."""
    return lambda chosen: (
        not {*chosen} & {*_OTHER_FORMS}
        and chosen.get("optimizer", "sgd") == "sgd"
        and (not modes or chosen.get("lookahead", "off") in modes)
    )


def _of_rule(rows: pd.DataFrame, algorithm: str, modes: tuple[str, ...]) -> pd.DataFrame:
    """Rows of the plain form of a rule, those without momentum first."""
    own = where(rows[rows["algorithm"] == algorithm], "chosen", _in_form(modes))
    momentum = [chosen.get("momentum", _MOMENTUM.get(algorithm, 0.0)) for chosen in own["chosen"]]
    return own.assign(momentum=momentum).sort_values("momentum", kind="stable")


def _row(
    rule: str, own: pd.DataFrame, costs: pd.DataFrame, trained: pd.DataFrame, timed: pd.DataFrame
) -> dict[str, Any]:
    algorithm, _, column = RULES[rule]
    measured = own[own["peak_dynamic_bytes"].notna()].head(1)
    trained = trained[trained["rule"] == rule].drop_duplicates("seed", keep="last")
    training = over_seeds(trained)
    static, peak = first(measured, "static_bytes"), first(measured, "peak_dynamic_bytes")
    figures = {
        f"modelled_{what}_{end}": first(costs[costs["quantity"] == what], end)
        for what in ("seconds", "joules")
        for end in ("low", "high")
    }
    theirs = TABLE_V["MLP"][column] if column else None
    return {
        "rule": rule,
        "algorithm": algorithm,
        "static_bytes": static,
        "peak_dynamic_bytes": peak,
        "ram_bytes": None if static is None or peak is None else int(static) + int(peak),
        **training,
        "epochs": first(trained, "epochs"),
        "accuracy_options": training["options"],
        **figures,
        "step_seconds_median": first(timed[timed["rule"] == rule], "step_seconds_median"),
        "published_accuracy": theirs and theirs.accuracy,
        "published_training_seconds": theirs and theirs.seconds,
        "published_training_joules": theirs and theirs.joules,
        "published_megabytes": theirs and theirs.megabytes,
        "options": first(measured, "options"),
        "runs": origin(pd.concat([measured, trained])),
    }


def _with_ratios(row: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The row, every figure over FP32's, and our ratio of bytes over the published one."""
    ratios = {f"{name}_ratio": ratio(row[key], base[key]) for name, key in _RATIOS.items()}
    deviation = ratio(ratios["ram_ratio"], ratios["published_megabytes_ratio"])
    return {**row, **ratios, "ram_over_published_ratio": deviation}


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """A panel per figure of the table; rules from top to bottom."""
    panels = [("memory / FP32's", _memory)]
    if numbers["test_accuracy"].notna().any():
        panels.append(("test accuracy on MNIST (%)", _accuracy))
    for what, title in (("seconds", "time / FP32's"), ("joules", "energy / FP32's")):
        if numbers[f"modelled_{what}_low_ratio"].notna().any():
            panels.append((title, partial(_interval, what=what)))
    across = min(len(panels), 4 if columns == 2 else 2)
    down = -(-len(panels) // across)
    left_out = [f"accuracy of {each}" for each in numbers.attrs.get("left_out", [])]
    own_rates = ["Accuracies of one experiment, each rule at its own rate."]
    shown = own_rates if _accuracy in dict(panels).values() else []
    note = wrapped([*shown, *not_shown(left_out)], columns)
    height = 0.55 + (0.55 + 0.3 * len(numbers)) * down + note_height(note)
    figure = new_figure(columns, height=height)
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    colour = next(iter(colours(("here", "published")).values()))
    for axes, (title, paint) in zip(grid.flat, panels, strict=False):
        paint(axes, numbers, colour)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(title)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    names = [name.replace(", ", ",\n").replace(" for ", "\nfor ") for name in numbers["rule"]]
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(numbers)), names)
        axes.set_ylim(len(numbers) - 0.45, -0.55)
    handles, labels = zip(*_legend(numbers, colour), strict=True)
    figure.legend(
        handles,
        labels,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.6)},
        handlelength=3,
        loc="outside upper center",
        ncols=3 if columns == 2 else 1,
    )
    add_note(figure, note)
    return figure


def _legend(numbers: pd.DataFrame, colour: Any) -> list[tuple[Any, str]]:
    """What the legend shows, and its words."""
    point = Line2D([], [], marker="o", linestyle="none", color=colour)
    entries: list[tuple[Any, str]] = [
        ((Patch(facecolor=colour), point), "ours (time: the run's CPU)")
    ]
    device = numbers["device"].iloc[0]
    if device:
        model = Patch(facecolor=colour, edgecolor="white", hatch=hatch("modelled"))
        entries.append((model, f"ours, modelled for {device}"))
    diamond = Line2D([], [], marker="D", linestyle="none", **OPEN_MARKER)
    entries.append(((Patch(**OPEN), diamond), "published (memory: with framework)"))
    return entries


def _memory(axes: Axes, numbers: pd.DataFrame, colour: Any) -> None:
    """Bytes as ratio to FP32's, ours above the published ones."""
    for place, row in enumerate(numbers.to_dict("records")):
        for offset, value, look in (
            (-0.2, row["ram_ratio"], {"color": colour}),
            (0.2, row["published_megabytes_ratio"], OPEN),
        ):
            if pd.notna(value):
                axes.barh(place + offset, value, height=0.38, **look)
                note_at_end(axes, value, place + offset, f"{value:.2f}")
    axes.set_xlim(0, 1.35 * max(1.0, numbers["ram_ratio"].astype(float).max()))


def _accuracy(axes: Axes, numbers: pd.DataFrame, colour: Any) -> None:
    """Test accuracy in percent, ours above the published one."""
    known = 100 * numbers[["test_accuracy", "test_accuracy_deviation", "published_accuracy"]]
    ours, deviation, theirs = known.astype(float).to_numpy().T
    places = np.arange(len(numbers))
    look: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": colour, "capsize": 2}
    axes.errorbar(ours, places - 0.15, xerr=deviation, **look)
    axes.plot(theirs, places + 0.15, marker="D", linestyle="none", **OPEN_MARKER)
    axes.grid(axis="x")
    axes.margins(x=0.1)
    axes.set_xlim(right=min(101.0, axes.get_xlim()[1]))


def _interval(axes: Axes, numbers: pd.DataFrame, colour: Any, what: str) -> None:
    """Between the ratios of the low and of the high ends; ours of the run's machine as a point."""
    places = np.arange(len(numbers))
    ends = numbers[[f"modelled_{what}_{end}_ratio" for end in ("low", "high")]].astype(float)
    low, high = ends.min(axis=1), ends.max(axis=1)
    axes.set_xscale("log")
    axes.barh(
        places,
        (high - low).where(high > low),
        left=low,
        height=0.5,
        color=colour,
        edgecolor="white",
        hatch=hatch("modelled"),
    )
    theirs = numbers[f"published_training_{what}_ratio"].astype(float)
    axes.plot(theirs, places, marker="D", linestyle="none", **OPEN_MARKER)
    axes.set_xlim(low.min() / 1.6, high.max() * 1.6)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1, color="0.6", linewidth=0.6, zorder=0)
    if what == "seconds":
        own = numbers["step_seconds_median_ratio"].astype(float)
        look = {"marker": "o", "linestyle": "none", "color": colour, "markeredgecolor": "white"}
        axes.plot(own.where(own != 1), places, **look)
