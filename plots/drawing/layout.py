"""Texts in and around a figure: names on several lines, notes below it, numbers beside points."""

from __future__ import annotations

import textwrap
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any

from trainfit.plots.drawing.style import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
"""Left, bottom, right and top in points (1/72 inch)."""

_NAMED = 8
"""Workloads that a note names; of the others it says how many there are."""
_CHARACTERS_PER_INCH = 21.5
"""Of 6 pt text, on average."""

_LEGEND_CHARACTERS_PER_INCH = 20
_HANDLE = 10
"""Characters that a line and the room beside it take in a legend."""
_LINE_HEIGHT = 0.17

_DIRECTIONS = ((-1, 1), (-1, 0), (0, 1), (1, 1), (1, 0), (0, -1), (1, -1), (-1, -1))
"""Above at the left comes first: of a point on a front, nothing lies there."""
_DISTANCES = (1.0, 1.8, 2.8)
_SIZE = 6.5
_OUTSIDE = 1_000.0


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


def legend_columns(labels: Sequence[str], columns: int) -> int:
    """How many columns of a legend fit across a figure of so many columns."""
    room = WIDTHS[columns] * _LEGEND_CHARACTERS_PER_INCH
    fitting = int(room // (max(map(len, labels)) + _HANDLE))
    return max(1, min(fitting, len(labels), 4))


def legend_height(labels: Sequence[str], columns: int) -> float:
    """Inches that such a legend takes."""
    return _LINE_HEIGHT * -(-len(labels) // legend_columns(labels, columns)) + 0.1


def place_labels(
    axes: Axes,
    labelled: Sequence[tuple[float, float, str]],
    others: Iterable[tuple[float, float]],
) -> None:
    """Write a short text beside each point, in the first of 24 places that is free.

    The axes must have their final limits; the figure is laid out here. A text that had to go
    farther away gets a thin line to its point.

    Args:
        axes: Has the points.
        labelled: Points in data coordinates, with their texts.
        others: Points that have no text and are not to be covered.
    """
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    scale = 72 / figure.dpi
    window = axes.get_window_extent()
    frame = (window.x0 * scale, window.y0 * scale, window.x1 * scale, window.y1 * scale)

    def located(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y))
        return float(across) * scale, float(up) * scale

    taken = [_box(*located(x, y), 5, 5) for x, y in (*others, *((x, y) for x, y, _ in labelled))]
    for x, y, text in labelled:
        centre = located(x, y)
        width, height = 0.65 * _SIZE * len(text) + 1, 1.2 * _SIZE
        best: tuple[float, float, float, float] | None = None
        for distance, (right, up) in product(_DISTANCES, _DIRECTIONS):
            shift = right * (width / 2 + 3.5) * distance, up * (height / 2 + 2.5) * distance
            box = _box(centre[0] + shift[0], centre[1] + shift[1], width, height)
            cost = sum(_overlap(box, other) for other in taken)
            cost += 0 if _inside(box, frame) else _OUTSIDE
            if best is None or cost < best[0]:
                best = (cost, *shift, distance)
        if best is None:  # pragma: no cover  (there are always places)
            continue
        taken.append(_box(centre[0] + best[1], centre[1] + best[2], width, height))
        line: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.5"}
        axes.annotate(
            text,
            (x, y),
            xytext=best[1:3],
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_SIZE,
            arrowprops={**line, "shrinkA": 0, "shrinkB": 2} if best[3] > 1 else None,
            zorder=6,
        ).set_in_layout(False)


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(one: Box, other: Box) -> float:
    """Square points that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(up, 0)


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]
