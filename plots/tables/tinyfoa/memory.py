"""TinyFoA's figure as a table: bytes by phase, factors against backpropagation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from trainfit.plots.drawing.style import PHASES
from trainfit.plots.figures.tinyfoa import memory as figure
from trainfit.plots.papers.published import TINYFOA_FACTORS_REMARK
from trainfit.plots.papers.rows import first

SOURCE = "records"
TITLE = "TinyFoA's figure as numbers"
CAPTION = (
    "Static bytes and peak dynamic bytes by phase of a step of 784-2000x4-10 in batches of 100,"
    " measured at the allocator, and backpropagation's bytes over the row's: by phase of dynamic"
    " bytes, and of everything (static plus the largest phase). Rows with a rule stand for those of"
    " the paper's figure: all layers, the largest layer, a slice. The last row has the published"
    f" factors, quoted at second hand. {TINYFOA_FACTORS_REMARK}"
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per row of the figure.

    Raises:
        MissingDataError: As :func:`trainfit.plots.figures.tinyfoa.memory.numbers`.
    """
    rows = figure.numbers(frame)
    names = list(dict.fromkeys(rows["row"]))
    base = rows.loc[rows["row"] == figure.BASE, "ram_bytes"].max()
    return pd.DataFrame([_row(name, rows[rows["row"] == name], int(base)) for name in names])


def _row(name: str, rows: pd.DataFrame, base: int) -> dict[str, Any]:
    claimed = name == figure.CLAIMED
    row: dict[str, Any] = {"row": name.replace("\n", " ")}
    row["static_bytes"] = None if claimed else first(rows, "static_bytes")
    for phase in PHASES:
        of_phase = rows[rows["phase"] == phase]
        row[f"{phase}_bytes"] = None if claimed else first(of_phase, "dynamic_bytes")
    for phase in PHASES:
        row[f"{phase}_factor_ratio"] = first(rows[rows["phase"] == phase], "dynamic_factor")
    row["everything_factor_ratio"] = None if claimed else base / int(rows["ram_bytes"].max())
    return row
