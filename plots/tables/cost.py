"""Time and energy of a step: measured here, and modelled as intervals for a few devices."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.drawing.costs import HERE, unlike
from trainfit.plots.figures import cost as figure

SOURCE = "costs"
ALSO = ("values", "verdicts")
TITLE = "Time and energy of a step"
CAPTION = (
    "One training step. Measured on the machine that ran the suite: median time and mean energy, "
    "with bootstrap intervals; where no sensor could be read there is no energy. Modelled for a "
    "fast and a slow device: from what no compiled code beats to what a plain loop takes."
)

DEVICES = 2


def numbers(frame: pd.DataFrame, values: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per workload; of the devices, a fast and a slow one that are modelled.

    Raises:
        MissingDataError: Nothing has a time or an energy, measured or modelled.
    """
    found = figure.numbers(frame, values, verdicts)
    step = found[found["phase"] == "step"]
    devices = unlike(step, DEVICES)
    table = step[["workload"]].drop_duplicates().reset_index(drop=True)
    for device in (HERE, *devices):
        name = "step" if device == HERE else device
        for quantity in ("seconds", "joules"):
            part = step[(step["device"] == device) & (step["quantity"] == quantity)]
            part = part.set_index("workload").reindex(table["workload"])
            if device == HERE:
                table[f"{name}_{quantity}"] = part["value"].to_numpy()
            for end in ("low", "high"):
                table[f"{name}_{quantity}_{end}"] = part[end].to_numpy()
    left = step.loc[step["device"] != HERE, "device"].nunique() - len(devices)
    if left > 0:
        table.attrs["note"] = f"Devices in the figure's numbers only: {left}."
    return table
