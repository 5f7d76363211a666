"""Time and energy of a step: measured here, and modelled as intervals for a few devices."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.costs import HERE, costs_of, unlike
from trainfit.plots.figures.cost import REMEDY

SOURCE = "records"
TITLE = "Time and energy of a step"
CAPTION = (
    "One training step. Measured on the machine that ran the suite: median time and mean energy, "
    "with bootstrap intervals; where no sensor could be read there is no energy. Modelled for a "
    "fast and a slow device: from what no compiled code beats to what a plain loop takes."
)

DEVICES = 2


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per workload; of the devices, a fast and a slow one that are modelled.

    Raises:
        MissingDataError: Nothing has a time or an energy, measured or modelled.
    """
    found = costs_of(frame)
    step = found[found["phase"] == "step"]
    devices = unlike(step, DEVICES)
    here = step[step["device"] == HERE].reset_index(drop=True)
    table = here[["workload"]].copy()
    table[["step_seconds", "step_seconds_low", "step_seconds_high"]] = here[
        ["seconds", "seconds_low", "seconds_high"]
    ].astype(float)
    table[["step_joules", "step_joules_low", "step_joules_high"]] = here[
        ["joules", "joules_low", "joules_high"]
    ].astype(float)
    for device in devices:
        there = step[step["device"] == device].reset_index(drop=True)
        for end in ("seconds_low", "seconds_high", "joules_low", "joules_high"):
            table[f"{device}_{end}"] = there[end].astype(float)
    if table.drop(columns="workload").isna().all(axis=None):
        raise MissingDataError("the run has no time and no energy of a step", REMEDY)
    left = step.loc[step["device"] != HERE, "device"].nunique() - len(devices)
    if left > 0:
        table.attrs["note"] = f"Devices in the figure's numbers only: {left}."
    return table
