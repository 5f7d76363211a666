"""Figures and tables as files: PDF, SVG and PNG; CSV, LaTeX and Markdown.

The same numbers give the same bytes: no dates, no random identifiers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainfit._escaping import csv_cell
from trainfit._text import printable
from trainfit.plots.drawing.style import STYLE, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")

_METADATA = {
    "pdf": {"Creator": "trainfit", "Producer": None, "CreationDate": None},
    "svg": {"Creator": "trainfit", "Date": None},
    "png": {"Software": None},
}


@styled
def save_figure(figure: Figure, numbers: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Write a figure in every format, and what it plots as CSV.

    Args:
        figure: What ``draw`` made.
        numbers: What it plots.
        folder: Made if it is not there.
        name: The stem of all files.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The layout is found once for all formats, where letters are as wide as they are in print.
    figure.set_dpi(STYLE["savefig.dpi"])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    files = []
    for kind in FORMATS:
        file = folder / f"{name}.{kind}"
        figure.savefig(file, metadata=_METADATA[kind])
        files.append(file)
    files.append(folder / f"{name}.csv")
    files[-1].write_text(csv_text(numbers), "utf-8")
    return files


def drawable(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with names that are drawn as they are: a dollar sign begins no mathematics."""
    safe = {}
    for name in _texts(frame):
        values = [_letters(value) for value in frame[name].astype(object)]
        if any(new is not old for new, old in zip(values, frame[name], strict=True)):
            safe[name] = values
    return frame.assign(**safe)


def _letters(value: Any) -> Any:
    if not isinstance(value, str) or ("$" not in value and value.isprintable()):
        return value
    # JSON, as options are kept, needs the backslash itself escaped
    return printable(value).replace("$", r"\\$" if value.startswith("{") else r"\$")


def _texts(frame: pd.DataFrame) -> list[Any]:
    """The columns that hold no numbers."""
    return [name for name in frame if frame[name].dtype.kind not in "biufc"]


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV; a text that a spreadsheet would take for a formula gets a quote before it."""
    safe = {
        name: [csv_cell(value) for value in frame[name].astype(object)] for name in _texts(frame)
    }
    return frame.assign(**safe).to_csv(index=False, lineterminator="\n")
