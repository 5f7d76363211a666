"""TinyFoA's figure: forward, gradient and update of all layers, the largest layer, or a slice.

The paper argues with four rows. For each stands one of our algorithms:

==============================  ===================================================
Backpropagation, all layers     ``backprop[optimizer=adam]``
Horizontal, the largest layer   ``local_head[head=fixed,optimizer=adam]``
Horizontal + vertical, a slice  the same with ``parts=4``: a quarter of a layer, as large as a
                                slice of 2 x 2, but whole rows of the weight
TinyFoA, binary                 ``tinyfoa[variant=described]``
==============================  ===================================================

Beside them: what its released code does, and backpropagation with the same means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.style import PHASES, colours, log_byte_axis, new_figure, styled
from trainfit.plots.drawing.workloads import by_phase
from trainfit.plots.papers.published import TINYFOA_FACTORS, TINYFOA_FACTORS_SOURCE
from trainfit.plots.papers.rows import (
    HERE,
    OPEN,
    PUBLISHED,
    note_at_end,
    origin,
    where,
    with_options,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCE = "records"
ALSO = ("values",)
TITLE = "Forward, gradient and update memory, from backpropagation to TinyFoA"

INPUTS = 784
"""Of the paper's net; one with other inputs is taken where there is no such net."""
HIDDEN = (2000, 2000, 2000, 2000)
BATCH = 100
REMEDY = "run the suite paper-tinyfoa (trainfit run paper-tinyfoa --data-root DIR)"

BASE = "backpropagation\n(all layers)"
OURS = "TinyFoA as described\n(binary, M = 2)"
CLAIMED = "TinyFoA, published\nfactors (second hand)"

_ADAM = {"optimizer": "adam"}
_HEAD = {"head": "fixed", **_ADAM}
ROWS: Mapping[str, tuple[str, dict[str, Any]]] = {
    BASE: ("backprop", _ADAM),
    "horizontal\n(one layer)": ("local_head", {**_HEAD, "parts": None}),
    "horizontal + vertical\n(a quarter of a layer)": ("local_head", {**_HEAD, "parts": 4}),
    "binary, horizontal\n(TinyFoA, M = 1)": ("tinyfoa", {"slices": 1}),
    OURS: ("tinyfoa", {}),
    "TinyFoA as described,\nupdate fused": ("tinyfoa", {"update": "fused"}),
    "TinyFoA as released": ("tinyfoa", {"variant": "released"}),
    "backpropagation,\nupdate fused": ("backprop", {**_ADAM, "update": "fused"}),
    "backpropagation,\nfused, binary, M = 2": (
        "backprop",
        {**_ADAM, "update": "fused", "weights": "binary", "activations": "binary", "slices": 2},
    ),
}
"""Row to algorithm and the options that make it; every other option that decides bytes has its
default."""

_DECIDE = (
    "optimizer",
    "head",
    "parts",
    "slices",
    "update",
    "variant",
    "weights",
    "activations",
    "checkpoint",
    "micro_batch",
    "kernel",
    "features",
)
_DEFAULTS = {
    "tinyfoa": {
        "variant": "described",
        "slices": 2,
        "weights": "binary",
        "activations": "binary",
    }
}


def numbers(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Per row and phase: dynamic bytes, static plus dynamic bytes, and factors against BP's.

    ``dynamic_factor`` and ``ram_factor`` are backpropagation's bytes over the row's; the published
    factors have rows of their own.

    Raises:
        MissingDataError: There is no net of 4 x 2000 with backpropagation by Adam and TinyFoA.
    """
    rows = with_options(frame[frame["batch_size"] == BATCH])
    rows = where(rows, "sizes", lambda sizes: sizes[1:-1] == HIDDEN)
    rows = by_phase(rows[rows["peak_dynamic_bytes"].notna()], values, "peak_bytes", "device_bytes")
    nets = rows.assign(foreign=rows["sizes"].map(lambda sizes: sizes[0] != INPUTS))
    for (_, model), net in nets.groupby(["foreign", "model"]):
        ours = _of_net(net)
        base = ours[ours["row"] == BASE].set_index("phase")
        if len(base) and ours["row"].nunique() > 1:
            for kind in ("dynamic", "ram"):
                size = ours[f"{kind}_bytes"].astype(float)
                theirs = ours["phase"].map(base[f"{kind}_bytes"]).astype(float)
                ours[f"{kind}_factor"] = theirs / size.where(size > 0)
            return pd.concat([ours, _claimed(base)], ignore_index=True).assign(model=str(model))
    raise MissingDataError(
        "no net of 4 x 2000 in batches of 100 has both backprop[optimizer=adam] and a rule that"
        " trains a layer at a time",
        REMEDY,
    )


def _of_net(net: pd.DataFrame) -> pd.DataFrame:
    """The rows of the figure that there are, a phase each."""
    parts = []
    for name, (algorithm, wanted) in ROWS.items():
        defaults = _DEFAULTS.get(algorithm, {})
        exact = {option: defaults.get(option) for option in _DECIDE} | wanted
        same = where(net[net["algorithm"] == algorithm], "chosen", _exactly(exact, defaults))
        same = same.dropna(subset=["peak_bytes"])
        parts.append(same.drop_duplicates("phase").assign(row=name, runs=origin(same)))
    rows = pd.concat(parts, ignore_index=True).assign(source=HERE)
    rows["dynamic_bytes"] = rows["peak_bytes"].astype("Int64")
    rows["ram_bytes"] = rows["static_bytes"].astype("Int64") + rows["dynamic_bytes"]
    names = ["row", "phase", "source", "algorithm", "options", "dynamic_bytes"]
    return rows[[*names, "device_bytes", "static_bytes", "ram_bytes", "evidence", "runs"]]


def _exactly(
    wanted: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], bool]:
    """Every wanted option has its value; None is the default, which is not among the chosen."""
    return lambda chosen: all(
        chosen.get(name, defaults.get(name)) == value for name, value in wanted.items()
    )


def _claimed(base: pd.DataFrame) -> pd.DataFrame:
    """The published factors, of dynamic bytes and of all: which ones are meant is not known."""
    factors = base.index.map(TINYFOA_FACTORS)
    return pd.DataFrame(
        {
            "row": CLAIMED,
            "phase": base.index,
            "source": PUBLISHED,
            "options": TINYFOA_FACTORS_SOURCE,
            "dynamic_bytes": (base["dynamic_bytes"] / factors).round().astype("Int64").array,
            "ram_bytes": (base["ram_bytes"] / factors).round().astype("Int64").array,
            "dynamic_factor": factors,
            "ram_factor": factors,
            "runs": "",
        }
    )


@styled
def draw(numbers: pd.DataFrame, columns: int = 2) -> Figure:
    """A panel per phase, a pair of bars per row, and the factor against backpropagation."""
    names = list(dict.fromkeys(numbers["row"]))
    phases = [phase for phase in PHASES if phase in set(numbers["phase"])]
    shape = (1, len(phases)) if columns == 2 else (len(phases), 1)
    height = 0.85 + 0.29 * len(names) if columns == 2 else 1.2 + 3 * (0.25 + 0.23 * len(names))
    figure = new_figure(columns, height=height)
    grid = figure.subplots(*shape, sharex=True, sharey=columns == 2, squeeze=False)
    palette = colours(("dynamic", "ram"))
    for phase, axes in zip(phases, grid.flat, strict=True):
        _panel(axes, numbers[numbers["phase"] == phase].set_index("row"), names, palette)
        axes.set_title(phase)
    known = pd.concat([numbers["dynamic_bytes"], numbers["ram_bytes"]]).dropna().astype(float)
    grid.flat[0].set_xlim(known.min() / 2, known.max() * 6)
    figure.supxlabel("bytes (at the bar: how many times less than backpropagation)", fontsize=7)
    handles: list[Any] = [
        Patch(facecolor=palette["dynamic"], label="peak dynamic"),
        Patch(facecolor=palette["ram"], label="static + peak dynamic"),
    ]
    if numbers["device_bytes"].notna().any():
        mark: dict[str, Any] = {"marker": "|", "markersize": 6, "color": "0.0", "linestyle": "none"}
        handles.append(Line2D([], [], label="device view of the peak", **mark))
    if CLAIMED in names:
        handles.append(Patch(**OPEN, label="backpropagation / published factor"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4 if columns == 2 else 1)
    return figure


def _times(factor: float) -> str:
    return f"{factor:.{0 if factor >= 10 else 1}f}\N{MULTIPLICATION SIGN}"


def _panel(axes: Axes, rows: pd.DataFrame, names: list[str], palette: dict[Any, Any]) -> None:
    for place, name in enumerate(names):
        if name not in rows.index:
            continue
        row: Any = rows.loc[name]
        if row["source"] == PUBLISHED:
            low, high = float(row["dynamic_bytes"]), float(row["ram_bytes"])
            axes.barh(place, high - low, left=low, height=0.4, **OPEN)
            note_at_end(axes, high, place, _times(row["dynamic_factor"]))
            continue
        for offset, kind, column in ((-0.2, "dynamic", "dynamic"), (0.2, "ram", "ram")):
            size = float(row[f"{column}_bytes"])
            axes.barh(place + offset, size, height=0.38, color=palette[kind])
            if name != BASE:
                note_at_end(axes, size, place + offset, _times(row[f"{column}_factor"]))
        bound = row["device_bytes"]
        if pd.notna(bound):
            axes.plot(float(bound), place - 0.2, marker="|", markersize=6, color="black")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    log_byte_axis(axes.xaxis)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", rotation=45)
    axes.grid(axis="x")
