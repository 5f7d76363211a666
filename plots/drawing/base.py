"""What every figure has, and what it says where a run does not hold its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class MissingDataError(ValueError):
    """A figure's data is not in the run; says what is missing and what makes it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class FigureModule(Protocol):
    """A module that is a figure; see :mod:`trainfit.plots`, also for the optional ``ALSO``."""

    SOURCE: str
    TITLE: str

    def numbers(self, frame: pd.DataFrame, *also: pd.DataFrame) -> pd.DataFrame:
        """The numbers that are plotted; raises :class:`MissingDataError`."""

    def draw(self, numbers: pd.DataFrame, columns: int = 2) -> Figure:
        """The figure, for one or two columns of a paper."""


class TableModule(Protocol):
    """A module that is a table; see :mod:`trainfit.plots`."""

    SOURCE: str
    TITLE: str
    CAPTION: str

    def numbers(self, frame: pd.DataFrame, *also: pd.DataFrame) -> pd.DataFrame:
        """The table, units in the names of its columns; raises :class:`MissingDataError`."""


def require(frame: pd.DataFrame, *columns: str, remedy: str) -> pd.DataFrame:
    """The rows in which all of these columns have a value.

    Raises:
        MissingDataError: There is no such row; names the columns that have none.
    """
    absent = [name for name in columns if name not in frame or frame[name].isna().all()]
    if absent:
        raise MissingDataError(f"the run has no {', '.join(absent)}", remedy)
    rows = frame.dropna(subset=list(columns))
    if rows.empty:
        raise MissingDataError(f"no workload of the run has all of {', '.join(columns)}", remedy)
    return rows
