"""FF-INT8's Table V for the MLP as a table, ours beside it."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.figures.ff_int8 import table_v as figure
from trainfit.plots.papers.published import STAND_IN_REMARK

SOURCE = "records"
ALSO = ("costs",)
TITLE = "FF-INT8, Table V for the MLP: published and ours"
CAPTION = (
    "The MLP 784-1000-1000-10 on MNIST in batches of 32, and Table V of FF-INT8 (Ma, Panda & Reda,"
    " DAC 2025). RAM is static plus peak dynamic bytes of a step, measured at the allocator; the"
    " published memory is that of a process with its framework. Accuracies of ours are of one"
    " experiment (same samples, passes and seeds, each rule at its own rate). Memory, time and"
    " energy are ratios to FP32's; ours of time and energy are modelled for a step on the board,"
    " between the low and between the high ends, theirs are of a training whose passes are not"
    " stated. The paper's"
    f" order of energy is FF-INT8, INT8, UI8, GDAI8, FP32. {STAND_IN_REMARK}"
)


def numbers(frame: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """One row per rule.

    Raises:
        MissingDataError: As :func:`trainfit.plots.figures.ff_int8.table_v.numbers`.
    """
    rows = figure.numbers(frame, costs)
    table = pd.DataFrame(
        {
            "rule": rows["rule"],
            "ram_bytes": rows["ram_bytes"].astype("Int64"),
            "memory_ratio": rows["ram_ratio"],
            "published_memory_ratio": rows["published_megabytes_ratio"],
            "accuracy": rows["test_accuracy"].astype(float),
            "accuracy_deviation": rows["test_accuracy_deviation"].astype(float),
            "published_accuracy": rows["published_accuracy"],
            "time_ratio_low": rows["modelled_seconds_low_ratio"],
            "time_ratio_high": rows["modelled_seconds_high_ratio"],
            "published_time_ratio": rows["published_training_seconds_ratio"],
            "energy_ratio_low": rows["modelled_joules_low_ratio"],
            "energy_ratio_high": rows["modelled_joules_high_ratio"],
            "published_energy_ratio": rows["published_training_joules_ratio"],
        }
    )
    left_out = rows.attrs["left_out"]
    if left_out:
        table.attrs["note"] = f"Accuracies of another experiment, left out: {'; '.join(left_out)}."
    return table
