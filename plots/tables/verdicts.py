"""Which workload fits on which device."""

from __future__ import annotations

import re

import pandas as pd

from trainfit.plots.drawing.base import MissingDataError
from trainfit.plots.drawing.workloads import device_limits, identity, over_seeds

SOURCE = "records"
TITLE = "Verdict per workload and device"
CAPTION = (
    "Whether a training fits; tight is less to spare than the device's profile requires. The worst "
    "of all budgets of a device counts. Devices are ordered by the RAM that they leave to a "
    "training."
)

SEVERITY = ("fits", "tight", "unknown", "exceeds")
"""From best to worst: what is known not to fit weighs more than what is not known."""


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per workload, a column ``<device>_verdict`` per device.

    Raises:
        MissingDataError: The run was judged against no device.
    """
    judged = _columns(frame)
    if not judged:
        raise MissingDataError(
            "the run was judged against no device",
            'run a suite with devices = "all" or a list of devices',
        )
    columns = [column for budgets in judged.values() for column in budgets]
    rows = over_seeds(frame.dropna(subset=columns, how="all"))
    table = identity(rows)
    order = [*device_limits(rows), *judged]
    for device in dict.fromkeys(name for name in order if name in judged):
        table[f"{device}_verdict"] = _worst(rows[judged[device]])
    return table


def _columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """By device, the columns of the verdicts on its budgets that hold any."""
    found: dict[str, list[str]] = {}
    for name in frame.columns:
        match = re.fullmatch(r"verdict\.(.+)\.[^.]+", name)
        if match and frame[name].notna().any():
            found.setdefault(match[1], []).append(name)
    return found


def _worst(verdicts: pd.DataFrame) -> list[str | None]:
    """Per row, the worst of its verdicts; None where there is none."""
    ranks = verdicts.apply(lambda column: column.map(SEVERITY.index, na_action="ignore"))
    worst = ranks.astype("Float64").max(axis=1)
    return [None if pd.isna(rank) else SEVERITY[int(rank)] for rank in worst]
