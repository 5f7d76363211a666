"""Which workloads a figure shows where a run has more than fit, and how it says so."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from trainfit.plots.drawing.style import WIDTHS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMED = 8
_CHARACTERS_PER_INCH = 21.5
"""Of 6 pt text, on average."""


def spread(algorithms: Sequence[str], most: int) -> list[int]:
    """The places of at most so many rows, rising.

    The first row of every algorithm is taken before the second of any.
    """
    seen: dict[str, int] = {}
    turns = []
    for place, name in enumerate(algorithms):
        turns.append((seen.get(name, 0), place))
        seen[name] = seen.get(name, 0) + 1
    return sorted(place for _, place in sorted(turns)[:most])


def not_shown(workloads: Sequence[str]) -> list[str]:
    """A sentence that names the workloads left out, or how many more; none if none were."""
    if not workloads:
        return []
    more = len(workloads) - _NAMED
    named = "; ".join(workloads[:_NAMED])
    return [f"Not shown: {named}{f'; and {more} more' if more > 0 else ''}."]


def folded(name: str, width: int, lines: int) -> str:
    """A name in at most so many lines of about so many characters; words stay whole."""
    cut = textwrap.wrap(
        name,
        width,
        max_lines=lines,
        placeholder=" ...",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(cut)


def row_places(names: Sequence[str], least: float, line: float) -> tuple[list[float], list[float]]:
    """Where rows with names of several lines lie, from the top.

    Args:
        names: One per row, folded.
        least: How high a row is at least, in inches.
        line: How high a line of a name is, in inches.

    Returns:
        The middle of each row and its height, in inches.
    """
    heights = [max(least, line * (name.count("\n") + 1) + 0.05) for name in names]
    ends = list(accumulate(heights))
    return [end - height / 2 for end, height in zip(ends, heights, strict=True)], heights


def wrapped(sentences: Sequence[str], columns: int) -> str:
    """Sentences in lines as long as a figure of so many columns is wide."""
    width = int((WIDTHS[columns] - 0.1) * _CHARACTERS_PER_INCH)
    return "\n".join(textwrap.wrap(" ".join(sentences), width))


def note_height(text: str) -> float:
    """Inches that a note takes below a figure."""
    return 0.11 * (text.count("\n") + 1) + 0.05 if text else 0.0


def add_note(figure: Figure, text: str) -> None:
    """Write a note below a figure, from its left edge."""
    if text:
        figure.supxlabel(text, x=0.01, ha="left", fontsize=6, color="0.3")
