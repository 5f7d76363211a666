"""Tables as files: exact CSV for programs, Markdown and LaTeX for people.

What a column holds is said by the end of its name: ``_bytes``, ``_seconds``, ``_joules``,
``accuracy`` (a fraction, shown in percent), ``_ratio`` and ``_verdict``. For people, each quantity
has one unit per table, so that cells of different columns can be compared; columns that
differ by ``_low``, ``_high`` or ``_deviation`` only are written into one cell.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from trainfit._text import escape_markdown, printable
from trainfit._whole_files import write_files
from trainfit.plots.drawing.saving import csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence

DASH = MISSING = "\N{EN DASH}"
WIDE = 7
"""A LaTeX table of more columns spans both columns of a paper, in smaller type."""

_LONG = 30
"""Characters of a text from which on its column in LaTeX has a fixed width and breaks lines."""
_HEAD = 12
"""Characters of a line of a head in LaTeX; words stay whole."""

_DECIMAL = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
UNITS = {
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
    "seconds": _DECIMAL,
    "joules": tuple((size, name.replace("s", "J")) for size, name in _DECIMAL),
    "accuracy": ((0.01, "%"),),
}
"""From large to small: the size of a unit in the unit of the frame, and its name."""

_PLAIN = dict.fromkeys(("", "ratio", "verdict"), (1.0, ""))
_PARTS = ("_low", "_high", "_deviation")

_PACKAGES = "% Needs \\usepackage{array}, \\usepackage{booktabs} and \\usepackage{graphicx}.\n"
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Never wider than the text; a table that is narrower keeps its size."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        DASH: "--",
        "±": r"$\pm$",
        "\N{MULTIPLICATION SIGN}": r"$\times$",
        "µ": r"$\mu$",
        **{letter: f"\\{letter}" for letter in "_%&#${}"},
    }
)
"""Also what a font of LaTeX's oldest encoding prints as something else."""


@dataclass(frozen=True)
class Shown:
    """One column as people see it."""

    head: str
    cells: list[str]
    number: bool
    upright: bool = False
    """Whether LaTeX turns the head, because the cells are far shorter."""


def table_files(table: pd.DataFrame, name: str, *, caption: str) -> dict[str, bytes]:
    """``NAME.csv`` (exact, as the table is), ``NAME.md`` and ``NAME.tex``, and what is in them.

    Args:
        table: Names of columns are text, with their units; see the module. A text in
            ``table.attrs["note"]`` is printed behind the caption.
        name: The stem of all files, and the label in LaTeX (``tab:NAME``).
        caption: Plain text; it is escaped where a format needs that.
    """
    caption = " ".join(filter(None, (caption, table.attrs.get("note"))))
    texts = {
        "csv": csv_text(table),
        "md": markdown_table(table, caption=caption),
        "tex": latex_table(table, name, caption=caption),
    }
    return {
        f"{name}.{kind}": text.encode("utf-8", "backslashreplace") for kind, text in texts.items()
    }


def save_table(table: pd.DataFrame, folder: Path, name: str, *, caption: str) -> list[Path]:
    """Write the files of :func:`table_files` into a folder, which is made if it is not there.

    Raises:
        OSError: A file cannot be written; then none is.
    """
    return write_files(folder, table_files(table, name, caption=caption))


def markdown_table(table: pd.DataFrame, *, caption: str = "") -> str:
    """The caption as a paragraph, then the table as GitHub and pandoc read it."""
    columns = shown(table)
    cells = pd.DataFrame(dict(enumerate(column.cells for column in columns)))
    text = cells.map(escape_markdown).to_markdown(
        index=False,
        headers=[escape_markdown(column.head) for column in columns],
        colalign=["right" if column.number else "left" for column in columns],
        disable_numparse=True,
    )
    return "\n\n".join(filter(None, (escape_markdown(caption), text))) + "\n"


def latex_table(table: pd.DataFrame, name: str, *, caption: str = "") -> str:
    """A floating table, at most as wide as the text; its first line names the packages it needs."""
    columns = shown(table)
    cells = pd.DataFrame(dict(enumerate(column.cells for column in columns))).map(_latex)
    cells.columns = [_latex_head(column) for column in columns]
    wide = len(columns) > WIDE
    text = cells.style.hide(axis="index").to_latex(
        hrules=True,
        column_format="".join(_latex_format(column) for column in columns),
        caption=_latex(caption),
        label=f"tab:{name}",
        environment="table*" if wide else None,
        position_float="centering",
    )
    size = "\\footnotesize\n\\setlength{\\tabcolsep}{3pt}" if wide else r"\small"
    text = text.replace(r"\begin{tabular}", f"{size}\n{_FITTED}\n\\begin{{tabular}}")
    return _PACKAGES + text.replace(r"\end{tabular}", "\\end{tabular}}")


def _latex(text: str) -> str:
    """One line in which nothing is a command, nor an argument of the end of the line before it."""
    return ("{}" if text.startswith(("[", "*")) else "") + printable(
        " ".join(text.split())
    ).translate(_LATEX)


def _latex_head(column: Shown) -> str:
    """On lines of a few words, or upright."""
    if column.upright:
        return rf"\rotatebox{{90}}{{{_latex(column.head)}}}"
    lines = map(_latex, textwrap.wrap(column.head, _HEAD, break_long_words=False))
    return rf"\shortstack[{'r' if column.number else 'l'}]{{" + r"\\".join(lines) + "}"


def _latex_format(column: Shown) -> str:
    if column.number:
        return "r"
    longest = max(map(len, column.cells), default=0)
    return r">{\raggedright\arraybackslash}p{0.3\linewidth}" if longest > _LONG else "l"


def shown(table: pd.DataFrame) -> list[Shown]:
    """The columns as people see them: heads with units, cells as text, intervals in one cell."""
    names = list(table.columns)
    units = _units(table)
    return [_column(table, base, units) for base in dict.fromkeys(_base(n, names) for n in names)]


def quantity(name: str) -> str:
    """What the end of a column's name says that it holds; empty if nothing."""
    stem = name
    for part in (*_PARTS, "_median", "_mean"):
        stem = stem.removesuffix(part)
    last = stem.rpartition("_")[2]
    return last if last in UNITS or last in _PLAIN else ""


def _base(name: str, names: Sequence[str]) -> str:
    """The column in whose cells this one is written; itself, if it is not part of another."""
    if name.endswith("_deviation") and name.removesuffix("_deviation") in names:
        return name.removesuffix("_deviation")
    stem = name.removesuffix("_low").removesuffix("_high")
    if stem == name or not {f"{stem}_low", f"{stem}_high"} <= set(names):
        return name
    return f"{stem}_median" if f"{stem}_median" in names else stem


def _units(table: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """Per quantity the largest unit in which the median of all its cells is at least one."""
    found = dict(_PLAIN)
    for kind, units in UNITS.items():
        held = [_floats(table[name]) for name in table.columns if quantity(name) == kind]
        values = pd.concat(held) if held else pd.Series(dtype=float)
        middle = values.abs()[values != 0].quantile()
        found[kind] = next((unit for unit in units if middle >= unit[0]), units[-1])
    return found


def _column(table: pd.DataFrame, base: str, units: dict[str, tuple[float, str]]) -> Shown:
    kind = quantity(base)
    size, unit = units[kind]
    stem = base.removesuffix("_median")
    parts = {part[1:]: table[stem + part] for part in _PARTS if stem + part in table}
    values = table.get(base, pd.Series(math.nan, table.index))
    number = bool(parts) or _is_number(values) or kind in UNITS
    if not (parts or _is_number(values)):
        cells = [_text(value) for value in values]
    else:
        sides = {
            part: _numbers(column, size, kind, rough=base not in table)
            for part, column in parts.items()
        }
        cells = [
            _together(cell, **{part: side[row] for part, side in sides.items()})
            for row, cell in enumerate(_numbers(values, size, kind))
        ]
    name = stem if kind in ("", "accuracy") else stem.removesuffix(kind)
    head = " ".join([*name.replace("_", " ").split(), *([f"({unit})"] if unit else [])])
    return Shown(head, cells, number, upright=kind == "verdict")


def _together(value: str, low: str = "", high: str = "", deviation: str = "") -> str:
    """One cell: ``98.5 ± 0.2``, ``1.25 [1.2, 1.3]``, or the two ends of an interval alone."""
    known = value != MISSING
    if deviation not in ("", MISSING):
        value = f"{value} ± {deviation}"
    if low in ("", MISSING) or high in ("", MISSING):
        return value
    return f"{value} [{low}, {high}]" if known else f"{low}{DASH}{high}"


def _numbers(values: pd.Series[Any], size: float, kind: str, *, rough: bool = False) -> list[str]:
    """The cells of numbers; roughly: with two significant digits, as for ends of intervals."""
    numbers = _floats(values)
    if size == 1 and kind in ("", "bytes") and not (numbers % 1 > 0).any():
        return [_number(value, ",.0f") for value in numbers]
    form = ",.2f" if kind == "accuracy" else "#.2g" if rough else "#.3g"
    return [_number(value / size, form) for value in numbers]


def _number(value: float, form: str) -> str:
    """So many digits, all digits before the point, thousands apart."""
    if math.isnan(value):
        return MISSING
    if "g" not in form:
        return format(value, form)
    most = 99.5 if "2" in form else 999.5
    return format(value, form).rstrip(".") if 0 < abs(value) < most else f"{value:,.0f}"


def _text(value: Any) -> str:
    if pd.isna(value):
        return MISSING
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _floats(values: pd.Series[Any]) -> pd.Series[float]:
    return pd.to_numeric(values, errors="coerce").astype("Float64").astype(float)


def _is_number(values: pd.Series[Any]) -> bool:
    types = pd.api.types
    return types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
