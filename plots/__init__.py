"""Figures and tables: one file each, from a DataFrame of records to a Figure or to a table.

A module of this folder whose name begins with ``table_`` is a table, with an underscore is a part
of others; every other one is a figure. A figure has

* ``SOURCE``, which of a run's frames it is drawn from: ``records`` (one row per workload),
  ``curves``, ``timelines``, ``gradients`` or ``noise``;
* ``TITLE``, one line for people;
* ``numbers(frame)``, the numbers that are plotted, as a tidy frame with units in the names of its
  columns; raises :class:`MissingDataError` where the frame does not hold them;
* ``draw(numbers, columns=2)``, the figure, sized for one or two columns of a paper.

A table has ``SOURCE``, ``TITLE``, ``CAPTION`` and ``numbers(frame)``: what is printed, one row per
line of the table; :func:`plots._tables.save_table` writes it as CSV, Markdown and LaTeX.

Nothing here imports anything else of this project.
"""

from __future__ import annotations

import difflib
import pkgutil
from importlib import import_module
from typing import Any

from ._base import FigureModule, MissingDataError, TableModule

_TABLE = "table_"


class UnknownFigureError(ValueError):
    """There is no figure of this name."""


class UnknownTableError(ValueError):
    """There is no table of this name."""


def figure_names() -> list[str]:
    """The names of all figures, as the command line has them."""
    return sorted(_dashed(name) for name in _modules() if not name.startswith(("_", _TABLE)))


def table_names() -> list[str]:
    """The names of all tables, as the command line has them: ``memory`` for ``table_memory``."""
    return sorted(
        _dashed(name.removeprefix(_TABLE)) for name in _modules() if name.startswith(_TABLE)
    )


def load_figure(name: str) -> FigureModule:
    """The module that draws a figure.

    Raises:
        UnknownFigureError: There is none of this name; the message has the nearest.
    """
    module: FigureModule = _load(name, figure_names(), "", UnknownFigureError, "figure")
    return module


def load_table(name: str) -> TableModule:
    """The module that makes a table.

    Raises:
        UnknownTableError: There is none of this name; the message has the nearest.
    """
    module: TableModule = _load(name, table_names(), _TABLE, UnknownTableError, "table")
    return module


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _load(name: str, names: list[str], prefix: str, error: type[ValueError], what: str) -> Any:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
        raise error(f"unknown {what} {name!r}: {advice}")
    return import_module(f"{__name__}.{prefix}{name.replace('-', '_')}")


__all__ = [
    "FigureModule",
    "MissingDataError",
    "TableModule",
    "UnknownFigureError",
    "UnknownTableError",
    "figure_names",
    "load_figure",
    "load_table",
    "table_names",
]
