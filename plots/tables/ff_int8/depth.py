"""FF-INT8's Table I as a table, ours beside it."""

from __future__ import annotations

import pandas as pd

from trainfit.plots.figures.ff_int8 import depth as figure
from trainfit.plots.papers.rows import HERE, PUBLISHED

SOURCE = "records"
TITLE = "FF-INT8's Table I, ours beside it"
CAPTION = (
    "Test accuracy on MNIST of nets with hidden layers of 500 units, trained in float32 and with"
    " naive INT8 gradients, beside Table I of FF-INT8 (Ma, Panda & Reda, DAC 2025); ours with the"
    " sample deviation over seeds. Rate and passes are not in the paper. INT8 here means that a"
    " weight has no other form. What is lost is in percentage points."
)


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per depth.

    Raises:
        MissingDataError: As :func:`trainfit.plots.figures.ff_int8.depth.numbers`.
    """
    keys = ["number_format", "source", "hidden_layers"]
    rows = figure.numbers(frame).set_index(keys).sort_index()
    table = pd.DataFrame(index=rows.index.get_level_values("hidden_layers").unique().sort_values())
    for kind in figure.FORMATS:
        ours, theirs, name = rows.loc[kind, HERE], rows.loc[kind, PUBLISHED], kind.lower()
        table[f"{name}_accuracy"] = ours["test_accuracy"]
        table[f"{name}_accuracy_deviation"] = ours["test_accuracy_deviation"].astype(float)
        table[f"published_{name}_accuracy"] = theirs["test_accuracy"]
    table["lost_points"] = ours["lost_points"]
    table["published_lost_points"] = theirs["lost_points"]
    table["seeds"] = ours["seeds"].astype("Int64")
    return table.reset_index()
