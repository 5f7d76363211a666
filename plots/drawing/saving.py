"""Figures and tables as files: PDF, SVG and PNG; CSV, LaTeX and Markdown.

The same numbers give the same bytes: no dates, no random identifiers.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

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
def save_figure(figure: Figure, numbers: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Write a figure in every format, and what it plots as CSV.

    Args:
        figure: What ``draw`` made.
        numbers: What it plots.
        folder: Made if it is not there.
        name: The stem of all files.

    Raises:
        OSError: A file cannot be written; then none is.
    """
    # The layout is found once for all formats, where letters are as wide as they are in print.
    figure.set_dpi(STYLE["savefig.dpi"])
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    contents = {}
    for kind in FORMATS:
        picture = (
            io.BytesIO()
        )  # written to a full disk, matplotlib leaves a torso and says so badly
        figure.savefig(picture, format=kind, metadata=_METADATA[kind])
        contents[f"{name}.{kind}"] = picture.getvalue()
    text = numbers.to_csv(index=False, lineterminator="\n")
    contents[f"{name}.csv"] = text.encode("utf-8", "backslashreplace")
    return write_files(folder, contents)
