"""How figures look: sizes of a paper, one palette that survives grey print, evidence by hatching.

Colours are samples of cividis, which grows evenly in lightness and looks the same to people who do
not see red and green apart. Where two things could still be confused they differ by marker, dash
or a white edge, too. What is measured is solid, what is modelled or computed is hatched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

P = ParamSpec("P")
R = TypeVar("R")

WIDTHS = {1: 3.33, 2: 7.0}
"""Inches of one and two columns of a paper."""

PHASES = ("forward", "gradient", "update")
CATEGORIES = (
    "parameters",
    "optimizer_state",
    "buffers",
    "inputs",
    "activations",
    "gradients",
    "workspace",
)
"""From the bottom of a stack to its top."""

HATCHES = {"modelled": "//////", "analytic": "//////", "emulated": "......"}
"""By evidence; what is not here was measured, and is solid."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
DASHES = ("solid", "dashed", "dotted", "dashdot", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))

STYLE: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "patch.linewidth": 0.4,
    "hatch.linewidth": 0.4,
    "grid.linewidth": 0.4,
    "grid.color": "0.88",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "ps.fonttype": 42,
    "svg.fonttype": "path",  # the same picture whatever fonts the reader has
    "svg.hashsalt": "trainfit",
    "figure.constrained_layout.use": True,
}


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under the style of this project, whatever the process is set to."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
            return function(*args, **kwargs)

    return inside


def new_figure(columns: int = 2, *, height: float) -> Figure:
    """An empty figure as wide as one or two columns; ``height`` in inches.

    Made without pyplot, so that nothing global keeps it alive and no display is needed.

    Raises:
        ValueError: ``columns`` is neither 1 nor 2.
    """
    if columns not in WIDTHS:
        raise ValueError(f"a figure is 1 or 2 columns wide, not {columns}")
    return Figure(figsize=(WIDTHS[columns], height), layout="constrained")


def colours(keys: Iterable[Any]) -> dict[Any, Any]:
    """One colour per key, from dark to light, evenly spread; the lightest yellow is left out."""
    found = list(dict.fromkeys(keys))
    palette = sns.color_palette("cividis", len(found) + 1)
    return dict(zip(found, palette, strict=False))


def hatch(evidence: str | None) -> str:
    """The hatching of a bar by how its figure was obtained; empty for what was measured."""
    return HATCHES.get(evidence or "", "")


def format_bytes(value: float, _position: int | None = None) -> str:
    """Bytes in binary units, as short as an axis wants it: ``96 KiB``, ``1.5 MiB``."""
    return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _scaled(value: float, step: int, units: Iterable[str]) -> str:
    sign = "-" if value < 0 else ""
    size = abs(value)
    names = list(units)
    index = 0
    while size >= step and index < len(names) - 1:
        size /= step
        index += 1
    return f"{sign}{size:.3g} {names[index]}" if size < 1000 else f"{sign}{size:.0f} {names[index]}"


def limit_line(axes: Axes, value: float, text: str, *, horizontal: bool = True) -> None:
    """A device's budget as a thin dashed line with its name at the end."""
    line: dict[str, Any] = {
        "color": "0.25",
        "linewidth": 0.7,
        "linestyle": (0, (4, 2)),
        "zorder": 3,
    }
    note: dict[str, Any] = {"fontsize": 6, "color": "0.25"}
    if horizontal:
        axes.axhline(value, **line)
        axes.annotate(
            text,
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(-1, 1.5),
            textcoords="offset points",
            ha="right",
            va="bottom",
            **note,
        )
    else:
        axes.axvline(value, **line)
        axes.annotate(
            text,
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-1.5, -1),
            textcoords="offset points",
            ha="right",
            va="top",
            rotation=90,
            **note,
        )
