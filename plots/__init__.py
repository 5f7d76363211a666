"""Figures and tables: one file each, from a DataFrame of records to a Figure or to a table.

A module of ``figures`` is a figure, one of ``tables`` a table; ``figures/ff_int8/depth.py`` is the
figure ``ff-int8-depth``. A figure has

* ``SOURCE``, which of a run's frames it is drawn from: ``records`` (one row per workload),
  ``values``, ``costs``, ``verdicts``, ``curves``, ``timelines``, ``gradients`` or ``noise``;
* ``ALSO`` where it uses other frames, too; these may be empty;
* ``TITLE``, one line for people (it and ``SOURCE`` written as plain texts);
* ``numbers(frame, *also)``, the numbers that are plotted, as a tidy frame with units in the names
  of its columns; raises :class:`MissingDataError` where the frames do not hold them;
* ``draw(numbers, columns=2)``, the figure, sized for one or two columns of a paper.

A table has ``CAPTION`` and no ``draw``: its ``numbers`` are what is printed, one row per line of
the table; :func:`trainfit.plots.drawing.tables.save_table` writes it as CSV, Markdown and LaTeX.

Nothing here imports anything else of this project, but for its leaf of texts.
"""

from __future__ import annotations

if __name__ != "trainfit.plots":  # found by its place on the path, a second copy
    raise ImportError("import trainfit.plots, not plots: it is installed under that name")

import ast
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any

from trainfit._text import nearest
from trainfit.plots.drawing.base import FigureModule, MissingDataError, TableModule


def _import_matplotlib_without_a_display() -> None:
    """Keep a backend that cannot be loaded from ending the import of matplotlib.

    matplotlib refuses to be imported where ``MPLBACKEND`` names none that it finds: that of a
    notebook, say, which every command that the notebook starts inherits. Figures here are files and
    need no backend. One that can be loaded stays chosen, for whatever else draws in the process.
    """
    asked = os.environ.pop("MPLBACKEND")
    try:
        import matplotlib as mpl  # noqa: PLC0415  (only with a backend in the environment)
    finally:
        os.environ["MPLBACKEND"] = asked
    with suppress(ValueError):
        mpl.rcParams["backend"] = asked


if os.environ.get("MPLBACKEND") and "matplotlib" not in sys.modules:
    _import_matplotlib_without_a_display()


class UnknownFigureError(ValueError):
    """There is no figure of this name."""


class UnknownTableError(ValueError):
    """There is no table of this name."""


@dataclass(frozen=True)
class Description:
    """What a figure or table says of itself.

    Attributes:
        kind: ``figure`` or ``table``.
        name: As the command line has it.
        title: What it shows, one line.
        source: Which of a run's frames it is made from.
    """

    kind: str
    name: str
    title: str
    source: str


def describe_drawings() -> Iterator[Description]:
    """Every figure and every table, described without importing what draws it."""
    for kind in ("figure", "table"):
        for name, module in sorted(_modules(f"{kind}s").items()):
            known = _constants(module)
            yield Description(kind, name, known["TITLE"], known["SOURCE"])


def figure_names() -> list[str]:
    """The names of all figures, as the command line has them."""
    return sorted(_modules("figures"))


def table_names() -> list[str]:
    """The names of all tables, as the command line has them."""
    return sorted(_modules("tables"))


def load_figure(name: str) -> FigureModule:
    """The module that draws a figure.

    Raises:
        UnknownFigureError: There is none of this name; the message has the nearest.
    """
    module: FigureModule = _load(name, "figures", UnknownFigureError, "figure")
    return module


def load_table(name: str) -> TableModule:
    """The module that makes a table.

    Raises:
        UnknownTableError: There is none of this name; the message has the nearest.
    """
    module: TableModule = _load(name, "tables", UnknownTableError, "table")
    return module


def _modules(folder: str) -> dict[str, str]:
    """Names as people write them, and the modules that they are of."""
    where = [str(PurePath(path) / folder) for path in __path__]
    found = pkgutil.walk_packages(where, f"{__name__}.{folder}.")
    modules = [each.name for each in found if not each.ispkg]
    cut = len(f"{__name__}.{folder}.")
    return {name[cut:].replace(".", "-").replace("_", "-"): name for name in modules}


def _constants(module: str) -> dict[str, str]:
    """The names that a module gives to texts at its top, read from its source."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return {
        target.id: str(node.value.value)
        for node in ast.parse(Path(spec.origin).read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _load(name: str, folder: str, error: type[ValueError], what: str) -> Any:
    known = _modules(folder)
    if name not in known:
        raise error(f"unknown {what} {name!r}: {nearest(name, known)}")
    return import_module(known[name])


__all__ = [
    "Description",
    "FigureModule",
    "MissingDataError",
    "TableModule",
    "UnknownFigureError",
    "UnknownTableError",
    "describe_drawings",
    "figure_names",
    "load_figure",
    "load_table",
    "table_names",
]
