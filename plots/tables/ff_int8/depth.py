"""FF-INT8's Table I as a table, ours beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from trainfit.plots.figures.ff_int8 import depth as figure
from trainfit.plots.papers.rows import HERE, first

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
    rows = figure.numbers(frame)
    depths = set(rows["hidden_layers"].astype(int))
    return pd.DataFrame(
        [_row(hidden, rows[rows["hidden_layers"] == hidden]) for hidden in sorted(depths)]
    )


def _row(hidden: int, rows: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"hidden_layers": hidden}
    for kind in figure.FORMATS:
        of_kind = rows[rows["number_format"] == kind]
        ours, theirs = of_kind[of_kind["source"] == HERE], of_kind[of_kind["source"] != HERE]
        name = kind.lower()
        row |= {
            f"{name}_accuracy": _number(first(ours, "test_accuracy")),
            f"{name}_accuracy_deviation": _number(first(ours, "test_accuracy_deviation")),
            f"published_{name}_accuracy": _number(first(theirs, "test_accuracy")),
        }
    ours, theirs = rows[rows["source"] == HERE], rows[rows["source"] != HERE]
    row["lost_points"] = _number(first(ours, "lost_points"))
    row["published_lost_points"] = _number(first(theirs, "lost_points"))
    row["seeds"] = first(ours, "seeds")
    return row


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
