"""Ticks of an axis of bytes where binary units are round: 32 KiB, 64 KiB, 96 KiB."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, NullLocator

from trainfit.plots.drawing.style import format_bytes


class PowerOfTwoLocator(Locator):
    """Ticks at multiples of the power of two that gives at most so many intervals.

    Args:
        most: Of intervals between ticks.
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
