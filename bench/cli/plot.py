"""The command that draws: ``trainfit plot RUN... --out DIR``, and the list of what it can draw."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainfit.bench.cli.output import Column, output
from trainfit.bench.errors import BenchError

if TYPE_CHECKING:
    from trainfit.bench.papers.drawing import Drawing

# That it builds its font cache, once per machine, is nothing that anybody has to look into.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(plot)
    app.command()(figures)


def figures() -> None:
    """List the figures and tables that trainfit plot makes."""
    from trainfit.plots import figure_names, load_figure, load_table, table_names  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for kind, names, load in (
        ("figure", figure_names(), load_figure),
        ("table", table_names(), load_table),
    ):
        for name in names:
            module: Any = load(name)
            rows.append(
                {"kind": kind, "name": name, "title": module.TITLE, "drawn_from": module.SOURCE}
            )
    output().table(
        "figures",
        (
            Column("name", "name"),
            Column("kind", "kind"),
            Column("drawn_from", "drawn from"),
            Column("title", "shows"),
        ),
        rows,
    )


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folders; their records are taken together.", exists=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Files are written here.", show_default=False)
    ],
    figure: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this one; repeatable. trainfit figures has them."),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this table; repeatable.")
    ] = None,
    columns: Annotated[
        int, typer.Option(min=1, max=2, help="Of a paper, that figures are wide.")
    ] = 2,
) -> None:
    """Draw the figures and tables of a run: PDF, SVG, PNG and CSV; CSV, Markdown and LaTeX.

    Without --figure and --table everything is drawn that the records allow; what they do not hold
    is listed with what would make it. A figure that was asked for by name and cannot be drawn is
    an error.
    """
    from trainfit.bench.papers.drawing import Drawer  # noqa: PLC0415
    from trainfit.plots import figure_names, table_names  # noqa: PLC0415

    named = bool(figure or table)
    drawer = Drawer(runs, out, columns)
    made = [drawer.figure(name) for name in (figure or ([] if named else figure_names()))]
    made += [drawer.table(name) for name in (table or ([] if named else table_names()))]
    show(made)
    missing = [each for each in made if each.missing]
    if missing and (named or len(missing) == len(made)):
        first = missing[0]
        where = ", ".join(str(run) for run in runs)
        raise BenchError(f"{first.kind} {first.name} cannot be drawn from {where}: {first.missing}")


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
        tuple(Column(key) for key in ("kind", "name", "title", "files", "missing")),
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
