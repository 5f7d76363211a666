"""FF-INT8's Table IV: multiply-accumulates of a mini-batch of ten, by number format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.style import PHASES, colours, hatch, new_figure, styled
from trainfit.plots.drawing.workloads import RECORD, texts
from trainfit.plots.papers.published import STAND_IN, TABLE_IV, TABLE_IV_BATCH, TABLE_IV_SOURCE
from trainfit.plots.papers.rows import (
    HERE,
    OPEN,
    PUBLISHED,
    note_at_end,
    origin,
    ratio,
    where,
    with_options,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCE = "records"
ALSO = ("values",)
TITLE = "Operations of a mini-batch by number format, beside FF-INT8's Table IV"

RULES = {
    "FP32": "backprop",
    "INT8": "backprop_int8",
    "GDAI8": "backprop_dai8",
    "FF-INT8": "ff_int8",
}
"""Their name to our algorithm."""

REMEDY = "run the suite paper-ff-int8, whose workloads with batch_size = 10 count them"
NOT_STATED = "not stated"


def numbers(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Per net and rule: ``macs`` of a step, their ``number_format`` and the ratio to FP32's.

    Raises:
        MissingDataError: No net has backpropagation in float and a rule in INT8 at a batch of ten.
    """
    counts = values.reindex(columns=[*RECORD, "stage", "phase", "quantity", "part", "value"])
    macs = (counts["quantity"] == "macs") & (counts["batch_size"] == TABLE_IV_BATCH)
    rows = texts(counts[macs & counts["phase"].isin(PHASES)])
    worst = frame[[*RECORD, "worst_stage"]].rename(columns={"worst_stage": "stage"})
    rows = with_options(rows.merge(worst.drop_duplicates(), on=[*RECORD, "stage"]))
    found: list[dict[str, Any]] = []
    for model, of_model in rows.groupby("model", sort=False):
        counted = [_counted(of_model, rule) for rule in RULES]
        known = [each for each in counted if each is not None]
        if len(known) > 1 and known[0]["rule"] == "FP32":
            found += [
                {"model": model, **each, "fp32_ratio": ratio(each["macs"], known[0]["macs"])}
                for each in known
            ]
    if not found:
        raise MissingDataError(
            "no net has multiply-accumulates of backprop and of an INT8 rule at batch_size 10",
            REMEDY,
        )
    return pd.DataFrame([*found, *_published()])


def _counted(rows: pd.DataFrame, rule: str) -> dict[str, Any] | None:
    """The multiply-accumulates of a step of a rule in its plain form."""
    plain = where(
        rows[rows["algorithm"] == RULES[rule]],
        "chosen",
        lambda chosen: not {*chosen} & {"weights", "lookahead", "checkpoint"},
    )
    if plain.empty:
        return None
    counts = plain.drop_duplicates(["phase", "part"]).groupby("part")["value"].sum()
    return {
        "rule": rule,
        "source": HERE,
        "algorithm": RULES[rule],
        "macs": int(counts.sum()),
        "number_format": " and ".join(counts.index),
        "evidence": "analytic",
        "remark": STAND_IN if rule == "GDAI8" else "",
        "runs": origin(plain),
    }


def _published() -> list[dict[str, Any]]:
    base = TABLE_IV["FP32"].macs
    return [
        {
            "model": NOT_STATED,
            "rule": rule,
            "source": PUBLISHED,
            "macs": count.macs,
            "number_format": count.number_format,
            "remark": TABLE_IV_SOURCE,
            "runs": "",
            "fp32_ratio": count.macs / base,
        }
        for rule, count in TABLE_IV.items()
    ]


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """One group of bars per net, one bar per rule; in the end the published ones."""
    models = list(dict.fromkeys(numbers["model"]))
    rules = [rule for rule in RULES if rule in set(numbers["rule"])]
    palette = colours(rules)
    figure = new_figure(columns, height=0.6 + 0.13 * (len(numbers) + len(models)))
    axes = figure.subplots()
    place, ticks = 0.0, []
    for model in models:
        of_model = numbers[numbers["model"] == model]
        ticks.append(place + (len(of_model) - 1) / 2)
        for row in of_model.itertuples():
            theirs = row.source == PUBLISHED
            face: dict[str, Any] = (
                dict(OPEN)
                if theirs
                else {"facecolor": palette[row.rule], "edgecolor": "white", "linewidth": 0.4}
            )
            axes.barh(place, row.macs / 1e6, height=0.9, hatch=hatch(row.evidence), **face)
            name = STAND_IN if row.remark == STAND_IN else row.rule
            share = "" if row.rule == "FP32" else f", {_share(row.fp32_ratio)} of FP32's"
            text = f"{name}: {row.macs / 1e6:.4g} M{share}"
            note_at_end(axes, row.macs / 1e6, place, text)
            place += 1
        place += 0.8
    axes.set_yticks(ticks, [_group(model) for model in models])
    axes.set_ylim(place - 0.8, -0.8)
    axes.set_xscale("log")
    lowest, highest = numbers["macs"].min() / 1e6, numbers["macs"].max() / 1e6
    axes.set_xlim(lowest / 2, highest * (highest / lowest) ** (1.1 if columns == 1 else 0.5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("multiply-accumulates of a step, batch of 10 (millions)")
    axes.tick_params(axis="y", length=0)
    axes.legend(
        handles=[
            Patch(
                facecolor="0.45", edgecolor="white", hatch=hatch("analytic"), label="ours, counted"
            ),
            Patch(**OPEN, label="published"),
        ],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        borderaxespad=0.2,
    )
    return figure


def _share(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"


def _group(model: str) -> str:
    return "Table IV,\nnet not stated" if model == NOT_STATED else model.removeprefix("mlp-")
