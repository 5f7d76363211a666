"""Bytes of every workload: static, the peak by phase, and what the peak is compared with."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.drawing.base import require
from trainfit.plots.drawing.style import PHASES
from trainfit.plots.drawing.workloads import baseline, by_phase, identity, over_seeds

SOURCE = "records"
ALSO = ("values",)
TITLE = "Memory by phase"
CAPTION = (
    "Bytes of one training step at the stage that needs most. Static bytes are there between steps,"
    " too; peaks are dynamic bytes, measured at the allocator. The prediction is the same peak"
    " taken from a trace of the step without data, the device view what the same schedule needs as"
    " C would run it. The ratio is that of the peak to plain backpropagation's on the same net"
    " and batch."
)


def numbers(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """One row per workload; a phase or bound that is not known is missing.

    Raises:
        MissingDataError: No workload has a measured peak.
    """
    remedy = 'measure the memory: a suite with measure = ["memory"], or without the line'
    known = require(frame, "static_bytes", "peak_dynamic_bytes", remedy=remedy)
    rows = over_seeds(known)
    table = identity(rows)
    table["static_bytes"] = rows["static_bytes"]
    phases = by_phase(rows, values, "peak_bytes")
    for phase in PHASES:
        peaks = phases.loc[phases["phase"] == phase, "peak_bytes"].astype("Int64")
        if peaks.notna().any():
            table[f"{phase}_bytes"] = peaks.array
    table["peak_bytes"] = rows["peak_dynamic_bytes"]
    table["predicted_bytes"] = rows["predicted_bytes"]
    table["device_bytes"] = rows["device_bytes"]
    table["peak_to_backprop_ratio"] = rows["peak_dynamic_bytes"] / baseline(rows)
    return table
