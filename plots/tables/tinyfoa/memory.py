"""TinyFoA's figure as a table: bytes by phase, factors against backpropagation."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.drawing.style import PHASES
from trainfit.plots.figures.tinyfoa import memory as figure
from trainfit.plots.papers.published import TINYFOA_FACTORS_REMARK
from trainfit.plots.papers.rows import HERE

SOURCE = "records"
ALSO = ("values",)
TITLE = "TinyFoA's figure as numbers"
CAPTION = (
    "Static bytes and peak dynamic bytes by phase of a step of 784-2000x4-10 in batches of 100,"
    " measured at the allocator, and backpropagation's bytes over the row's: by phase of dynamic"
    " bytes, and of everything (static plus the largest phase). Rows with a rule stand for those of"
    " the paper's figure: all layers, the largest layer, a slice. The last row has the published"
    f" factors, quoted at second hand. {TINYFOA_FACTORS_REMARK}"
)


def numbers(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """One row per row of the figure.

    Raises:
        MissingDataError: As :func:`trainfit.plots.figures.tinyfoa.memory.numbers`.
    """
    rows = figure.numbers(frame, values)
    rows = rows.assign(row=rows["row"].str.replace("\n", " "))
    ours = rows[rows["source"] == HERE]
    table = rows[["row"]].drop_duplicates().set_index("row")
    table["static_bytes"] = ours.groupby("row")["static_bytes"].first()
    for phase in PHASES:
        of_phase = rows[rows["phase"] == phase].set_index("row")
        table[f"{phase}_bytes"] = of_phase["dynamic_bytes"].where(of_phase["source"] == HERE)
        table[f"{phase}_factor_ratio"] = of_phase["dynamic_factor"]
    ram = ours.groupby("row", sort=False)["ram_bytes"].max()
    table["everything_factor_ratio"] = ram.iloc[0] / ram  # backpropagation comes first
    columns = sorted(table, key=lambda name: name.endswith("ratio"))
    return table[columns].reset_index()
