"""FF-INT8's Table IV as a table, ours beside it."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.figures.ff_int8 import operations as figure
from trainfit.plots.papers.published import STAND_IN, STAND_IN_REMARK, TABLE_IV, TABLE_IV_REMARK
from trainfit.plots.papers.rows import PUBLISHED

SOURCE = "records"
ALSO = ("values",)
TITLE = "FF-INT8, Table IV: published and ours"
CAPTION = (
    "Multiply-accumulates of a step in batches of ten by number format, counted in a trace of the"
    " step, beside Table IV of FF-INT8 (Ma, Panda & Reda, DAC 2025). "
    f"{TABLE_IV_REMARK} {STAND_IN_REMARK}"
)


def numbers(frame: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """One row per net and rule; comparisons and additions of the quantisation as published.

    Raises:
        MissingDataError: As :func:`trainfit.plots.figures.ff_int8.operations.numbers`.
    """
    rows = figure.numbers(frame, values)
    published = [TABLE_IV.get(rule) for rule in rows["rule"].where(rows["source"] == PUBLISHED)]
    return pd.DataFrame(
        {
            "net": [str(model).removeprefix("mlp-") for model in rows["model"]],
            "rule": rows["rule"].where(rows["remark"] != STAND_IN, STAND_IN),
            "source": rows["source"],
            "number_format": rows["number_format"],
            "macs": rows["macs"].astype("Int64"),
            "macs_to_fp32_ratio": rows["fp32_ratio"].astype(float),
            "compares": pd.Series([each and each.compares for each in published], dtype="Float64"),
            "float_adds": pd.Series(
                [each and each.float_adds for each in published], dtype="Float64"
            ),
        }
    )
