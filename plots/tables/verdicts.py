"""Which workload fits on which device."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.drawing.workloads import identity
from trainfit.plots.figures import budget_matrix as figure

SOURCE = "verdicts"
ALSO = ("records",)
TITLE = "Verdict per workload and device"
CAPTION = (
    "Whether a training fits; tight is less to spare than the device's profile requires. The worst "
    "of all budgets of a device counts. Microcontrollers are judged by static bytes and a planned "
    "arena, boards that run torch by static bytes and torch's peak. Devices are ordered by the RAM "
    "that they leave to a training."
)


def numbers(frame: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """One row per workload, a column ``<device>_verdict`` per device.

    Raises:
        MissingDataError: The run was judged against no device.
    """
    found = figure.deciding(frame, records)
    rows = found.drop_duplicates("workload").reset_index(drop=True)
    table = identity(rows)
    for device in found.attrs["devices"]:
        of_device = found[found["device"] == device].set_index("workload")["status"]
        table[f"{device}_verdict"] = of_device.reindex(rows["workload"]).to_numpy()
    return table
