"""``trainfit plot``: the figures and tables of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainfit.bench.cli.options import ColumnsOption
from trainfit.bench.cli.output import output, unseen
from trainfit.bench.errors import BenchError
from trainfit.bench.papers.drawing import Drawer, Drawing
from trainfit.plots import figure_names, table_names


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run folders, whose records are taken together."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder that files are written to, e.g. figures.",
        ),
    ],
    figure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Figure to draw, e.g. peak-by-phase (trainfit figures lists them); repeatable.",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Table to write, e.g. memory; repeatable."),
    ] = None,
    columns: ColumnsOption = 2,
) -> None:
    """Draw the figures and tables of runs.

    A figure becomes PDF, SVG and PNG with its numbers as CSV; a table becomes CSV, Markdown and
    LaTeX. Without --figure and --table everything is drawn that the records allow, and for the rest
    the command that makes the missing records is named. A figure or table that is named and cannot
    be drawn is an error.
    """
    named = bool(figure or table)
    drawer = Drawer(runs, out, columns)
    made = [drawer.figure(name) for name in (figure or ([] if named else figure_names()))]
    made += [drawer.table(name) for name in (table or ([] if named else table_names()))]
    missing = [each for each in made if each.missing]
    if missing and (named or len(missing) == len(made)):
        first = missing[0]
        where = ", ".join(str(run) for run in runs)
        raise BenchError(f"{first.kind} {first.name} cannot be drawn from {where}: {first.missing}")
    drawer.write()
    show(made)


def show(made: Sequence[Drawing]) -> None:
    """What was written and what was not."""
    out = output()
    rows = [
        {
            "kind": each.kind,
            "name": each.name,
            "title": each.title,
            "files": [str(file) for file in each.files],
            "missing": each.missing or None,
        }
        for each in made
    ]
    out.table(
        "drawings",
        unseen("kind name title files missing"),
        rows,
        printed=(),
    )
    for each in made:
        if each.files:
            stem = each.files[0].with_suffix("")
            kinds = ", ".join(file.suffix[1:] for file in each.files)
            out.show(f"{each.title}: {stem} ({kinds})")
    for each in made:
        if each.missing:
            out.show(f"not drawn: {each.kind} {each.name}: {each.missing}")
