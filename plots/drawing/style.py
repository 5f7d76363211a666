"""How figures look: sizes of a paper, one palette that survives grey print, evidence by hatching.

Colours are samples of cividis, which grows evenly in lightness and looks the same to people who do
not see red and green apart. Where two things could still be confused they differ by marker, dash
or a white edge, too. What is measured is solid, what is modelled or computed is hatched.
"""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

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

HATCHES = {
    "modelled": "//////",
    "analytic": "//////",
    "traced": "//////",
    "planned": "//////",
    "emulated": "......",
}
"""By evidence; what is not here was measured, and is solid."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
DASHES = ("solid", "dashed", "dotted", "dashdot", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))

_UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs")
"""Kinds of letters that are no picture: line feeds and bells, marks of direction, halves."""

_SPECIAL = re.compile(r"^_|[$\x00-\x1f\x7f-\U0010ffff]")
"""Any text that may hold one of those."""

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


def under_style(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under the style of this project, whatever the process is set to.

    Of a letter that the font does not have, there is a box in the figure and the letter in the CSV;
    nobody has to be warned of it.
    """

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
            return function(*args, **kwargs)

    return inside


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """As :func:`under_style`, of a function that draws: names in its frames are drawn as they are.

    To matplotlib a dollar sign begins mathematics, and a name that begins with an underscore is
    left out of legends.
    """

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        drawn: Any = [literal(each) if isinstance(each, pd.DataFrame) else each for each in args]
        return function(*drawn, **kwargs)

    return under_style(inside)


def literal(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose texts are drawn as they are; its attributes are kept."""
    found = frame.copy()
    for name, column in found.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            found[name] = column.cat.rename_categories(_literal)
        elif not pd.api.types.is_numeric_dtype(column.dtype):
            texts = [_literal(each) for each in column]
            if any(text is not each for text, each in zip(texts, column, strict=True)):
                found[name] = pd.Series(texts, column.index, dtype=object)
    found.attrs = {key: _literal(value) for key, value in frame.attrs.items()}
    return found


def _literal(value: Any) -> Any:
    """A text as matplotlib draws it literally, one line per line; anything else as it is."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_literal, value))
    if not isinstance(value, str) or not _SPECIAL.search(value):
        return value
    shown = "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter != "\n" and unicodedata.category(letter) in _UNSEEN
        else letter
        for letter in value
    )
    # Options are JSON, in which the backslash itself needs one.
    shown = shown.replace("$", r"\\$" if shown.startswith("{") else r"\$")
    return f" {shown}" if shown.startswith("_") else shown


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


def looks(keys: Iterable[Any]) -> dict[Any, dict[str, Any]]:
    """Colour, marker and dash of a line per key; no two are alike in all three."""
    return {
        key: {
            "color": colour,
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[index % len(DASHES)],
        }
        for index, (key, colour) in enumerate(colours(keys).items())
    }


def hatch(evidence: str | None) -> str:
    """The hatching of a bar by how its figure was obtained; empty for what was measured."""
    return HATCHES.get(evidence or "", "")


def format_bytes(value: float, _position: int | None = None) -> str:
    """Bytes in binary units, as short as an axis wants it: ``96 KiB``, ``1.5 MiB``."""
    power = min(int(math.log2(max(abs(value), 1)) // 10), 4)
    size = value / 1024**power
    digits = ".0f" if abs(size) >= 1000 else ".3g"
    return f"{size:{digits}} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def limit_line(axes: Axes, value: float, *, horizontal: bool = True) -> None:
    """A device's budget as a thin dashed line."""
    draw = axes.axhline if horizontal else axes.axvline
    draw(value, color="0.25", linewidth=0.7, linestyle=(0, (4, 2)), zorder=3)


class PowerOfTwoLocator(Locator):
    """Ticks at multiples of the power of two that gives at most ``most`` intervals between them.

    Binary units are round there: 32 KiB, 64 KiB, 96 KiB.
    """

    def __init__(self, most: int = 5) -> None:
        self._most = most

    def __call__(self) -> Any:
        """The ticks of the axis as it is."""
        assert self.axis is not None
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The ticks between two values."""
        low, high = sorted((vmin, vmax))
        step = 2.0 ** max(0, math.ceil(math.log2(max(high - low, 1) / self._most)))
        return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step


def linear_byte_axis(axis: Axis, most: int = 5) -> None:
    """Label a linear axis in KiB and MiB."""
    axis.set_major_locator(PowerOfTwoLocator(most))
    axis.set_major_formatter(FuncFormatter(format_bytes))


def log_byte_axis(axis: Axis, most: int = 9) -> None:
    """Make an axis logarithmic and label powers of two in KiB and MiB, at most so many."""
    axes, side = axis.axes, axis.get_label_position()
    (axes.set_xscale if side in ("bottom", "top") else axes.set_yscale)("log", base=2)
    axis.set_major_locator(LogLocator(base=2, numticks=most))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(format_bytes))
