"""Numbers beside points, where they cover neither one another nor a point."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
"""Left, bottom, right and top in points (1/72 inch)."""

_DIRECTIONS = ((-1, 1), (-1, 0), (0, 1), (1, 1), (1, 0), (0, -1), (1, -1), (-1, -1))
"""Above at the left comes first: of a point on a front, nothing lies there."""
_DISTANCES = (1.0, 1.8, 2.8)
_SIZE = 6.5
_OUTSIDE = 1_000.0


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
        for distance, (right, up) in itertools.product(_DISTANCES, _DIRECTIONS):
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
