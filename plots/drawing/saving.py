"""Figures and tables as files: PDF, SVG and PNG; CSV, LaTeX and Markdown.

The same numbers give the same bytes: no dates, no random identifiers.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from trainfit._escaping import csv_cell
from trainfit._whole_files import write_files
from trainfit.plots.drawing.style import STYLE, under_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")

_METADATA = {
    "pdf": {"Creator": "trainfit", "Producer": None, "CreationDate": None},
    "svg": {"Creator": "trainfit", "Date": None},
    "png": {"Software": None},
}


@under_style
def figure_files(figure: Figure, numbers: pd.DataFrame, name: str) -> dict[str, bytes]:
    """A figure in every format, and what it plots as CSV: names of files, and what is in them.

    Args:
        figure: What ``draw`` made.
        numbers: What it plots.
        name: The stem of all files.
    """
    # The layout is found once for all formats, where letters are as wide as they are in print.
    figure.set_dpi(STYLE["savefig.dpi"])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    contents = {}
    for kind in FORMATS:
        picture = io.BytesIO()  # on a full disk matplotlib would leave half a file
        figure.savefig(picture, format=kind, metadata=_METADATA[kind])
        contents[f"{name}.{kind}"] = picture.getvalue()
    text = csv_text(numbers)
    return contents | {f"{name}.csv": text.encode("utf-8", "backslashreplace")}


def save_figure(figure: Figure, numbers: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Write the files of :func:`figure_files` into a folder, which is made if it is not there.

    Raises:
        OSError: A file cannot be written; then none is.
    """
    return write_files(folder, figure_files(figure, numbers, name))


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV; a text that a spreadsheet would take for a formula gets a quote before it."""
    texts = [str(name) for name in frame if frame[name].dtype.kind not in "biufc"]
    safe = {name: [csv_cell(value) for value in frame[name].astype(object)] for name in texts}
    return frame.assign(**safe).to_csv(index=False, lineterminator="\n")
