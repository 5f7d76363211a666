"""TinyFoA's accuracy layer after layer, and what binarising costs other rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from trainfit._experiments import experiments, latest
from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.layout import add_note, not_shown, note_height, wrapped
from trainfit.plots.drawing.style import colours, looks, new_figure, styled
from trainfit.plots.papers.published import TINYFOA_RELEASED, TINYFOA_RELEASED_SOURCE
from trainfit.plots.papers.rows import (
    HERE,
    OPEN_MARKER,
    PUBLISHED,
    line,
    one_experiment,
    over_seeds,
    where,
    with_options,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "curves"
TITLE = "TinyFoA layer by layer, as described and as released; rules in float and binarised"

DATASET = "mnist"
SIZES = (784, 2000, 2000, 2000, 2000, 10)
SHOWN = 8
"""As many trainings of TinyFoA are drawn; the numbers have all."""

LAYERS, BINARISED = "layers", "binarised"
RULES = ("forward_forward", "pepita", "mem_pepita", "drtp", "dfa", "backprop")
FLOAT, BINARY = "float", "binary weights and activations"
REMEDY = (
    "train the rules of the suite paper-tinyfoa (trainfit run paper-tinyfoa --data-root DIR), or"
    " add results/runs/mnist-tinyfoa-described, mnist-tinyfoa-released, mnist-binarised and"
    " mnist-binarised-forward-forward"
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy on MNIST with its deviation over seeds, in two parts (``panel``).

    * ``layers``: of every training of ``tinyfoa`` on 4 x 2000, after its last pass over each layer;
      trainings of several experiments are curves of their own, whose names say how they differ.
    * ``binarised``: of every rule that has both forms on one net in one experiment (same samples,
      passes and seeds, each form at its own rate); ``attrs["left_out"]`` has the others.

    Raises:
        MissingDataError: There is neither.
    """
    rows = with_options(frame[frame["dataset"] == DATASET])
    pairs, left_out = _pairs(rows)
    found = [*_layers(rows), *pairs]
    if not found:
        raise MissingDataError(
            "there is no accuracy on MNIST, neither of tinyfoa on 784-2000x4-10 nor of a rule in"
            " float and in binary form on one net",
            REMEDY,
        )
    if any(each["panel"] == LAYERS for each in found):
        found += [
            {
                "panel": LAYERS,
                "source": PUBLISHED,
                "rule": "tinyfoa",
                "form": TINYFOA_RELEASED_SOURCE,
                "layer": layer,
                "test_accuracy": accuracy,
            }
            for layer, accuracy in enumerate(TINYFOA_RELEASED, start=1)
        ]
    table = pd.DataFrame(found)
    table.attrs["left_out"] = left_out
    return table


def _layers(rows: pd.DataFrame) -> list[dict[str, Any]]:
    rows = where(rows[rows["algorithm"] == "tinyfoa"], "sizes", lambda sizes: sizes == SIZES)
    trainings = [
        latest(one) for part in experiments(rows) for _, one in part.groupby("options", sort=False)
    ]
    found = []
    for training, form in zip(trainings, _forms(trainings), strict=True):
        epochs = int(training["epochs"].iloc[0])
        for layer in range(1, len(SIZES) - 1):
            at_end = training[training["pass"] == layer * epochs].drop_duplicates(["seed"])
            if len(at_end):
                about = {"panel": LAYERS, "source": HERE, "rule": "tinyfoa", "layer": layer}
                about |= {"form": form, "passes": layer * epochs}
                found.append(about | over_seeds(at_end))
    return found


def _forms(trainings: list[pd.DataFrame]) -> list[str]:
    """What each training is called; of those with one name, what tells it from the first."""
    first: dict[str, Any] = {}
    names = []
    for training in trainings:
        name = _form(training["chosen"].iloc[0], int(training["epochs"].iloc[0]))
        conditions = training["conditions"].iloc[0]
        told = conditions.differences(first.setdefault(name, conditions))
        names.append(", ".join([name, *(each.split(" against ")[0] for each in told)]))
    return names


def _form(chosen: dict[str, Any], epochs: int) -> str:
    """What tells one training of TinyFoA from another, with the defaults filled in."""
    parts = [
        chosen.get("variant", "described"),
        f"rate {chosen.get('lr', 0.001):g}",
        f"{epochs} passes a layer",
    ]
    if chosen.get("slices", 2) != 2:
        parts.insert(1, f"M = {chosen['slices']}")
    parts += [f"float {name}" for name in ("weights", "activations") if chosen.get(name) == "float"]
    return ", ".join(parts)


def _is_float(chosen: dict[str, Any]) -> bool:
    return not {*chosen} & {"weights", "activations"}


def _is_binary(chosen: dict[str, Any]) -> bool:
    return bool(chosen.get("weights") == chosen.get("activations") == "binary")


def _pairs(rows: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str]]:
    """Both forms of every rule and net, and those that are of no one experiment."""
    found: list[dict[str, Any]] = []
    left_out = []
    for (rule, model), of_net in rows.groupby(["algorithm", "model"], sort=False):
        if rule not in RULES:
            continue
        forms = {FLOAT: where(of_net, "chosen", _is_float)}
        forms[BINARY] = where(of_net, "chosen", _is_binary)
        if any(form.empty for form in forms.values()):
            continue
        both = pd.concat([own.assign(form=form) for form, own in forms.items()])
        last = both.groupby(["run", "options", "seed", "epochs"])["pass"].transform("max")
        chosen, other = one_experiment(both[both["pass"] == last], "form", ("rate",))
        if chosen["form"].nunique() < len(forms):
            left_out += [f"{rule} {str(model).removeprefix('mlp-')} in {each}" for each in other]
            continue
        about = {"panel": BINARISED, "source": HERE, "rule": rule, "model": model}
        for form, own in chosen.groupby("form", sort=False):
            ends = own.drop_duplicates("seed", keep="last")
            passes = {"form": form, "passes": int(ends["pass"].iloc[0])}
            found.append(about | passes | over_seeds(ends))
    return found, left_out


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """Accuracy after every layer; and a line per rule from its float to its binary form."""
    parts = [part for part in (LAYERS, BINARISED) if part in set(numbers["panel"])]
    beside = columns == 2 and len(parts) == 2
    trainings = numbers.loc[numbers["panel"] == LAYERS, "form"].nunique()
    pairs = (numbers["panel"] == BINARISED).sum() / 2
    heights = {
        LAYERS: 2.2 + 0.14 * min(SHOWN + 2, 1 + trainings),
        BINARISED: max(2.1, 0.7 + 0.3 * pairs),
    }
    tall = [heights[part] for part in parts]
    own_rates = ["Float and binary: as many passes, each at its own rate."]
    shown = own_rates if BINARISED in parts else []
    note = wrapped([*shown, *not_shown(numbers.attrs.get("left_out", []))], columns)
    height = (max(tall) if beside else sum(tall)) + note_height(note)
    figure = new_figure(columns, height=height)
    grid = figure.subplots(
        1 if beside else len(parts),
        2 if beside else 1,
        squeeze=False,
        height_ratios=None if beside else tall,
    )
    for part, axes in zip(parts, grid.flat, strict=True):
        rows = numbers[numbers["panel"] == part]
        (_draw_layers if part == LAYERS else _draw_pairs)(axes, rows)
        axes.legend(
            *axes.get_legend_handles_labels(),
            loc=f"lower {'left' if columns == 2 else 'right'}",
            bbox_to_anchor=(0 if columns == 2 else 1, 1),
            borderaxespad=0.2,
        )
    add_note(figure, note)
    return figure


def _draw_layers(axes: Axes, rows: pd.DataFrame) -> None:
    forms = list(dict.fromkeys(rows.loc[rows["source"] == HERE, "form"]))
    more = len(forms) - SHOWN
    forms = forms[:SHOWN]
    for form, look in looks(forms).items():
        curve = rows[(rows["source"] == HERE) & (rows["form"] == form)]
        line(
            axes,
            curve["layer"],
            curve["test_accuracy"],
            curve["test_accuracy_deviation"],
            label=form,
            **look,
        )
    theirs = rows[rows["source"] == PUBLISHED]
    point = {**OPEN_MARKER, "marker": "D", "linestyle": "dotted"}
    accuracy = 100 * theirs["test_accuracy"]
    axes.plot(theirs["layer"], accuracy, label=TINYFOA_RELEASED_SOURCE, **point)
    if more > 0:
        axes.plot([], [], linestyle="none", label=f"not shown: {more} more trainings")
    axes.set_xticks(sorted(set(rows["layer"].astype(int))))
    axes.set_xlabel("layers trained")
    axes.set_ylabel("test accuracy on MNIST (%)")
    axes.grid(axis="y")


def _draw_pairs(axes: Axes, rows: pd.DataFrame) -> None:
    palette = colours((FLOAT, BINARY))
    looks = {
        FLOAT: {"marker": "o", "color": palette[FLOAT]},
        BINARY: {"marker": "s", "color": palette[BINARY]},
    }
    names = list(dict.fromkeys(zip(rows["rule"], rows["model"], strict=True)))
    for place, (rule, model) in enumerate(names):
        pair = rows[(rows["rule"] == rule) & (rows["model"] == model)].set_index("form")
        ends = 100 * pair["test_accuracy"].astype(float)
        axes.plot([ends[FLOAT], ends[BINARY]], [place, place], color="0.7", zorder=1)
        for form, look in looks.items():
            deviation = pair.loc[form, "test_accuracy_deviation"]
            axes.errorbar(
                ends[form],
                place,
                xerr=None if pd.isna(deviation) else 100 * float(deviation),
                capsize=2,
                linestyle="none",
                **look,
            )
        axes.annotate(
            f"{ends[BINARY] - ends[FLOAT]:+.1f}",
            (ends.mean(), place),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=6,
        )
    axes.set_yticks(
        range(len(names)), [f"{rule}\n{model.removeprefix('mlp-')}" for rule, model in names]
    )
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("test accuracy (%); between: change in percentage points")
    axes.grid(axis="x")
    for form, look in looks.items():
        axes.plot([], [], linestyle="none", label=form, **look)
