"""Tables as files: exact CSV for programs, Markdown and LaTeX (booktabs) for people.

What a column holds is said by the end of its name: ``_bytes``, ``_seconds``, ``_joules``,
``accuracy`` (a fraction, shown in percent), ``_ratio`` and ``_verdict``. For people, each quantity
has one unit per table, so that cells of different columns can be compared; columns that
differ by ``_low``, ``_high`` or ``_deviation`` only are written into one cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

DASH = MISSING = "\N{EN DASH}"
WIDE = 7
"""A LaTeX table of more columns spans both columns of a paper, in smaller type."""

_DECIMAL = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
UNITS = {
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
    "seconds": _DECIMAL,
    "joules": tuple((size, name.replace("s", "J")) for size, name in _DECIMAL),
    "accuracy": ((0.01, "%"),),
}
"""From large to small: the size of a unit in the unit of the frame, and its name."""

_PLAIN = ("", "ratio", "verdict")
_PARTS = ("_low", "_high", "_deviation")
_VERDICTS = {"fits": "yes", "tight": "just", "exceeds": "no", "unknown": "?"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    DASH: "--",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "µ": r"$\mu$",
    "<": r"$<$",
    ">": r"$>$",
    **{letter: f"\\{letter}" for letter in "_%&#${}"},
}


@dataclass(frozen=True)
class Shown:
    """One column as people see it."""

    head: str
    cells: list[str]
    number: bool
    upright: bool = False
    """Whether LaTeX turns the head, because the cells are far shorter."""


def save_table(table: pd.DataFrame, folder: Path, name: str, *, caption: str) -> list[Path]:
    """Write a table as ``NAME.csv`` (exact, as it is), ``NAME.md`` and ``NAME.tex``.

    Args:
        table: Names of columns are text, with their units; see the module. A text in
            ``table.attrs["note"]`` is printed behind the caption.
        folder: Made if it is not there.
        name: The stem of all files, and the label in LaTeX (``tab:NAME``).
        caption: Plain text; it is escaped where a format needs that.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    caption = " ".join(filter(None, (caption, table.attrs.get("note"))))
    texts = {
        "csv": table.to_csv(index=False, lineterminator="\n"),
        "md": markdown_table(table, caption=caption),
        "tex": latex_table(table, name, caption=caption),
    }
    files = [folder / f"{name}.{kind}" for kind in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text, "utf-8")
    return files


def markdown_table(table: pd.DataFrame, *, caption: str = "") -> str:
    """The caption as a paragraph, then the table as GitHub and pandoc read it."""
    columns = shown(table)
    heads = [_markdown(column.head) for column in columns]
    rules = ["--:" if column.number else "---" for column in columns]
    rows = zip(*([_markdown(cell) for cell in column.cells] for column in columns), strict=True)
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, rules, *rows)]
    return "\n".join([*((caption, "") if caption else ()), *lines, ""])


def latex_table(table: pd.DataFrame, name: str, *, caption: str = "") -> str:
    r"""A floating table; needs ``booktabs``, and ``graphicx`` where there are verdicts."""
    columns = shown(table)
    wide = len(columns) > WIDE
    kind = "table*" if wide else "table"
    rows = zip(*([_latex(cell) for cell in column.cells] for column in columns), strict=True)
    lines = [
        rf"\begin{{{kind}}}",
        r"\centering",
        rf"\caption{{{_latex(caption)}}}",
        rf"\label{{tab:{name}}}",
        *((r"\footnotesize", r"\setlength{\tabcolsep}{3pt}") if wide else (r"\small",)),
        rf"\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in columns)}}}",
        r"\toprule",
        " & ".join(_latex_head(column) for column in columns) + r" \\",
        r"\midrule",
        *(" & ".join(cells) + r" \\" for cells in rows),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def shown(table: pd.DataFrame) -> list[Shown]:
    """The columns as people see them: heads with units, cells as text, intervals in one cell."""
    names = list(table.columns)
    units = _units(table)
    bases = dict.fromkeys(_base(name, names) for name in names)
    return [_column(table, base, units) for base in bases]


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
    found = dict.fromkeys(_PLAIN, (1.0, ""))
    for kind, units in UNITS.items():
        held = [table[name] for name in table.columns if quantity(name) == kind]
        values = pd.concat([_floats(column) for column in held]) if held else pd.Series(dtype=float)
        middle = values.abs()[values != 0].quantile()
        found[kind] = next((unit for unit in units if middle >= unit[0]), units[-1])
    return found


def _column(table: pd.DataFrame, base: str, units: dict[str, tuple[float, str]]) -> Shown:
    kind = quantity(base)
    size, unit = units[kind]
    stem = base.removesuffix("_median")
    parts = {part: table[stem + part] for part in _PARTS if stem + part in table}
    values = table.get(base)
    if values is not None and not _is_number(values):
        cells = [_text(value, kind) for value in values]
    else:
        heart = _numbers(values, size, kind, len(table))
        sides = {
            part: _numbers(column, size, kind, len(table), rough=values is None)
            for part, column in parts.items()
        }
        cells = [
            _together(cell, **{part[1:]: side[row] for part, side in sides.items()})
            for row, cell in enumerate(heart)
        ]
    number = bool(parts) or _is_number(values) or kind in UNITS
    return Shown(_head(stem, kind, unit), cells, number, upright=kind == "verdict")


def _together(value: str, low: str = "", high: str = "", deviation: str = "") -> str:
    """One cell: ``98.5 ± 0.2``, ``1.25 [1.2, 1.3]``, or the two ends of an interval alone."""
    known = value != MISSING
    if deviation not in ("", MISSING):
        value = f"{value} ± {deviation}"
    if low in ("", MISSING) or high in ("", MISSING):
        return value
    return f"{value} [{low}, {high}]" if known else f"{low}{DASH}{high}"


def _head(stem: str, kind: str, unit: str) -> str:
    name = stem if kind in ("", "accuracy") else stem.removesuffix(kind).removesuffix("_")
    words = name.replace("_", " ").replace(".", " ").strip()
    return f"{words} ({unit})" if unit else words


def _numbers(
    values: pd.Series[Any] | None, size: float, kind: str, rows: int, *, rough: bool = False
) -> list[str]:
    """The cells of numbers; roughly: with two significant digits, as for ends of intervals."""
    if values is None:
        return [MISSING] * rows
    numbers = _floats(values)
    if size == 1 and kind in ("", "bytes") and not (numbers % 1 > 0).any():
        form = ",.0f"
    elif kind == "accuracy":
        form = ",.2f"
    else:
        form = "#.2g" if rough else "#.3g"
    return [_number(value / size, form) for value in numbers]


def _number(value: float, form: str) -> str:
    """So many digits, all digits before the point, thousands apart."""
    if math.isnan(value):
        return MISSING
    if "g" not in form:
        return format(value, form)
    most = 99.5 if "2" in form else 999.5
    return format(value, form).rstrip(".") if 0 < abs(value) < most else f"{value:,.0f}"


def _text(value: Any, kind: str) -> str:
    if pd.isna(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _VERDICTS.get(str(value), str(value)) if kind == "verdict" else str(value)


def _floats(values: pd.Series[Any]) -> pd.Series[float]:
    return pd.to_numeric(values, errors="coerce").astype("Float64").astype(float)


def _is_number(values: pd.Series[Any] | None) -> bool:
    return (
        values is not None
        and pd.api.types.is_numeric_dtype(values)
        and not pd.api.types.is_bool_dtype(values)
    )


def _latex_head(column: Shown) -> str:
    text = _latex(column.head)
    return rf"\rotatebox{{90}}{{{text}}}" if column.upright else text


def _markdown(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
