"""Accuracy of every workload that was trained, over seeds, beside the bytes it needs."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.drawing.base import require
from trainfit.plots.drawing.workloads import identity, over_seeds, ram_bytes

SOURCE = "records"
TITLE = "Accuracy and bytes"
CAPTION = (
    "Test accuracy after the last pass, mean and sample deviation over seeds; one seed has no "
    "deviation. RAM is static plus peak dynamic bytes of one step at the stage that needs most."
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per trained workload.

    Raises:
        MissingDataError: No workload was trained.
    """
    known = require(frame, "test_accuracy", remedy="set epochs in the suite's [defaults]")
    rows = over_seeds(known, "test_accuracy")
    table = identity(rows)
    table["seeds"] = rows["seeds"]
    table["passes"] = rows["passes"]
    table["test_accuracy"] = rows["test_accuracy"]
    table["test_accuracy_deviation"] = rows["test_accuracy_deviation"]
    table["static_bytes"] = rows["static_bytes"]
    table["peak_bytes"] = rows["peak_dynamic_bytes"]
    table["RAM_bytes"] = ram_bytes(rows)
    return table
