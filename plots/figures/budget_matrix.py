"""Which workload fits on which device, by how much, and which budget decides where it does not.

A cell shows the worst verdict of all budgets of a device. The amount in it is what is left of the
budget that decides, or what lacks; a budget other than RAM is named below it. RAM is that of a
planned arena where a device has one, else that under torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.patches import Patch, Rectangle

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.layout import (
    add_note,
    folded,
    not_shown,
    note_height,
    row_places,
    wrapped,
)
from trainfit.plots.drawing.style import WIDTHS, colours, hatch, new_figure, styled
from trainfit.plots.drawing.workloads import (
    PLANNED,
    RECORD,
    cut,
    device_limits,
    over_seeds,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "verdicts"
ALSO = ("records",)
TITLE = "Margins of the budgets of devices"

MOST_WORKLOADS = 32
SEVERITY = ("fits", "tight", "unknown", "exceeds")
"""From best to worst: what is known not to fit weighs more than what is not known."""

SYMBOLS = {"fits": "+", "tight": "~", "unknown": "?", "exceeds": "\N{MINUS SIGN}"}

_BUDGETS = ("ram", "flash", "step_latency", "energy_per_step", "training_energy")
_SHORT = {
    "flash": "flash",
    "step_latency": "time",
    "energy_per_step": "energy",
    "training_energy": "training",
}
_REMEDY = 'judge the run against devices: a suite with devices = "all" or a list of names'
_WIDEST_CELL = 0.46
_NARROWEST_CELL = 0.31
"""Inches; a narrower cell has room for a symbol only."""

_ABOUT = ["workload", "algorithm", "options", "model", "dataset", "batch_size"]
_VERDICT = ["device", "budget", "status", "margin", "unit", "evidence", "judged_by"]


def numbers(frame: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """One row per workload and device: its worst verdict, of which budget, and the margin.

    Margins are in ``unit`` (B, s or J), negative where something lacks, missing where a figure is
    unknown. Devices are in the order of the RAM they leave to a training; those of which nothing
    is known come last. At most 32 workloads, one of every algorithm before a second of any;
    ``attrs["left_out"]`` names the others.

    Raises:
        MissingDataError: The run was judged against no device.
    """
    return cut(deciding(frame, records)[[*_ABOUT, *_VERDICT]], MOST_WORKLOADS)


def deciding(verdicts: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Of every workload and device the verdict that decides: the worst, and RAM before others.

    Of two budgets in bytes the tighter one decides. Rows are in the order of the workloads, then of
    the RAM that devices leave, as ``attrs["devices"]`` is.

    Raises:
        MissingDataError: There are no verdicts.
    """
    if verdicts.empty:
        raise MissingDataError("no workload of the run was judged against a device", _REMEDY)
    judged = texts(verdicts).drop_duplicates([*RECORD, "device", "budget"], keep="last")
    rows = over_seeds(judged.drop_duplicates(RECORD))
    known = rows.drop(columns=_VERDICT).merge(judged[[*RECORD, *_VERDICT]], on=RECORD)
    devices = list(dict.fromkeys([*device_limits(records, judged), *known["device"]]))
    in_bytes = (known["unit"] == "B") & known["margin"].notna()
    order: dict[str, Any] = {
        "place": known.groupby("workload", sort=False).ngroup(),
        "device_place": _places(known["device"], devices),
        "severity": -_places(known["status"], SEVERITY),
        "unlike_ram": ~in_bytes,
        "left": known["margin"].where(in_bytes, 0).astype(float),
        "budget_place": _places(known["budget"], dict.fromkeys([*_BUDGETS, *known["budget"]])),
    }
    known = known.assign(**order).sort_values(list(order), kind="stable").drop(columns=list(order))
    found = known.drop_duplicates(["workload", "device"]).reset_index(drop=True)
    found.attrs["devices"] = [name for name in devices if name in set(found["device"])]
    return found


def _places(names: pd.Series[Any], order: Iterable[str]) -> pd.Series[int]:
    return names.map({name: place for place, name in enumerate(order)})


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """A matrix of workloads by devices."""
    workloads = list(dict.fromkeys(numbers["workload"]))
    devices = list(dict.fromkeys(numbers["device"]))
    labels = 1.95 if columns == 2 else 1.4
    cell = min(_WIDEST_CELL, (WIDTHS[columns] - labels - 0.08) / len(devices))
    in_words = cell >= _NARROWEST_CELL
    names = [folded(name, int(labels * 18), 6) for name in workloads]
    middles, heights = row_places(names, 0.25 if in_words else 0.17, 0.105)
    note = wrapped(_notes(numbers, in_words=in_words), columns)
    below = note_height(note) + 0.08
    above = max(0.051 * max(map(len, devices)), 0.13 * len(_legend(numbers))) + 0.12
    height = below + sum(heights) + above
    figure = new_figure(columns, height=height)
    figure.set_layout_engine("none")  # inches, whatever stands around the cells
    axes = figure.add_axes(
        (
            labels / WIDTHS[columns],
            below / height,
            cell * len(devices) / WIDTHS[columns],
            sum(heights) / height,
        )
    )
    rows = {name: (y, tall) for name, y, tall in zip(workloads, middles, heights, strict=True)}
    for _, entry in numbers.iterrows():
        x = devices.index(entry["device"])
        y, tall = rows[entry["workload"]]
        _cell(axes, (x, y), tall, entry, in_words=in_words)
    axes.set_xlim(-0.5, len(devices) - 0.5)
    axes.set_ylim(sum(heights), 0)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(devices)), devices, rotation=90)
    axes.set_yticks(middles, names, linespacing=1.08)
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)
    figure.legend(
        handles=_legend(numbers),
        loc="upper left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        handlelength=1.6,
    )
    add_note(figure, note)
    return figure


def _cell(
    axes: Axes, place: tuple[float, float], tall: float, entry: pd.Series[Any], *, in_words: bool
) -> None:
    x, y = place
    status = entry["status"]
    look = _look(status, entry["evidence"])
    axes.add_patch(Rectangle((x - 0.5, y - tall / 2), 1, tall, linewidth=1.2, **look))
    behind = {"facecolor": look["facecolor"], "edgecolor": "none", "pad": 0.8}
    text = SYMBOLS.get(status, "?")
    if in_words:
        budget = "" if entry["budget"] == "ram" else _SHORT.get(entry["budget"], entry["budget"])
        text = "\n".join(part for part in (_amount(entry), budget) if part)
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=6 if in_words else 7,
        linespacing=0.95,
        color="white" if status == "exceeds" else "black",
        bbox=behind if look["hatch"] else None,
    )


def _look(status: str, evidence: str) -> dict[str, Any]:
    """Of a cell: the darker, the worse; what is not known is white."""
    shades = colours(range(9))
    faces = {"fits": shades[8], "tight": shades[5], "exceeds": shades[1], "unknown": "white"}
    return {"facecolor": faces.get(status, "white"), "edgecolor": "0.8", "hatch": hatch(evidence)}


def _amount(entry: pd.Series[Any]) -> str:
    """What is left, in as few characters as a cell is wide: ``+61K``, ``~3.1M``, ``?``."""
    symbol = SYMBOLS.get(entry["status"], "?")
    margin = entry["margin"]
    if margin is None or pd.isna(margin):
        return symbol
    return f"{symbol}{_short(abs(float(margin)), entry['unit'])}"


def _short(size: float, unit: str) -> str:
    """A size in two digits, or three before the point."""
    if unit == "B":
        scales = {"G": 2.0**30, "M": 2.0**20, "K": 2.0**10, "": 1.0}
        name, scale = next((n, s) for n, s in scales.items() if size >= 0.9765 * s or s == 1)
    else:
        prefixes = {"": 1.0, "m": 1e-3, "\N{MICRO SIGN}": 1e-6}
        prefix, scale = next((n, s) for n, s in prefixes.items() if size >= s or s == 1e-6)
        name = prefix + unit
    size /= scale
    return f"{size:.2g}{name}" if size < 9.95 else f"{size:.0f}{name}"


def _notes(numbers: pd.DataFrame, *, in_words: bool) -> list[str]:
    notes = []
    if in_words:
        notes.append("Margin of the budget that decides, in B, KiB (K), MiB (M) or GiB (G);")
        notes.append("the budget is RAM where none is named.")
    if (numbers["judged_by"] == PLANNED).any():
        notes.append(
            "RAM is static bytes + planned arena on microcontrollers (torch's peak where a"
        )
        notes.append("record has no arena), static bytes + torch's peak on boards that run torch.")
    return [*notes, *not_shown(numbers.attrs.get("left_out", []))]


def _legend(numbers: pd.DataFrame) -> list[Patch]:
    present = set(numbers["status"])
    handles = [
        Patch(**_look(status, ""), label=f"{SYMBOLS[status]} {status}")
        for status in ("fits", "tight", "exceeds", "unknown")
        if status in present
    ]
    if any(hatch(evidence) for evidence in numbers["evidence"]):
        handles.append(
            Patch(facecolor="white", edgecolor="0.5", hatch=hatch("modelled"), label="modelled")
        )
    return handles
