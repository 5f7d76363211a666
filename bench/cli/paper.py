"""The command that makes a paper's figures, tables and claims anew, into one folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainfit.bench.cli.output import output

if TYPE_CHECKING:
    from trainfit.bench.claims.claim import Judged
    from trainfit.bench.papers.paper import Paper


CHECKS = "claims.csv"
"""The checks of all claims, beside the index."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(paper)


def paper(
    name: Annotated[str, typer.Argument(metavar="tinyfoa|ff-int8", help="The paper.")],
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Measure nothing, take the records of this run folder, or of all run folders in"
            " this one; repeatable. [default: run the paper's suite]",
            show_default=False,
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="TRAINFIT_DATA_ROOT", help="The folder that data sets are read from."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Everything is written here. [default: papers/NAME]",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        int, typer.Option(min=1, max=2, help="Of a paper, that figures are wide.")
    ] = 2,
) -> None:
    """Make the figures and tables of a paper anew, and hold its claims against the records.

    Without --from the paper's suite is run first, which trains on MNIST and takes about an hour on
    two cores. What the records do not allow is listed in the folder's README.md with what would
    make it.
    """
    from trainfit.bench.cli.plot import show  # noqa: PLC0415
    from trainfit.bench.papers.drawing import Drawer  # noqa: PLC0415
    from trainfit.bench.papers.paper import (  # noqa: PLC0415
        INDEX,
        PaperError,
        find_paper,
        index,
        its_runs,
        run_folders,
    )

    chosen = find_paper(name)
    folder = out or Path("papers") / chosen.name
    given, failed = (run_folders(runs), 0) if runs else _measured(chosen, data_root)
    folders = its_runs(chosen, given)
    drawer = Drawer(folders, folder, columns)
    made = [*map(drawer.figure, chosen.figures), *map(drawer.table, chosen.tables)]
    if not any(each.files for each in made):
        where = ", ".join(str(run) for run in folders)
        raise PaperError(f"nothing of {chosen.name} can be made from {where}: {made[0].missing}")
    judged = _claims(chosen, given)
    page = index(chosen, folders, runs or folders, made, _page(judged))
    try:
        (folder / INDEX).write_text(page, "utf-8")
        _write_checks(judged, folder / CHECKS)
    except OSError as error:
        raise PaperError(f"--out {folder}: cannot be written: {error.strerror}") from error
    show(made)
    _show_claims(judged, len(given))
    screen = output()
    screen.show(f"what everything shows: {folder / INDEX}")
    screen.fact("index", str(folder / INDEX))
    screen.fact("runs", [str(run) for run in folders])
    if failed:
        screen.show(f"{failed} workloads have no full record, see {folders[0]}")
        raise typer.Exit(1)


def _measured(chosen: Paper, data_root: Path | None) -> tuple[list[Path], int]:
    """Run the paper's suite; returns its run folder, and how many workloads failed."""
    from trainfit.bench.cli.run_progress import RunProgress  # noqa: PLC0415
    from trainfit.bench.run.runner import run_suite  # noqa: PLC0415
    from trainfit.bench.suite.manifest import load_devices  # noqa: PLC0415
    from trainfit.bench.suite.suite import load_suite  # noqa: PLC0415

    suite = load_suite(chosen.suite)
    folder = Path("runs") / f"{suite.name}-{datetime.now():%Y%m%d-%H%M%S}"
    output().show(
        f"{suite.description}: {len(suite.workloads)} workloads, records go to {folder}",
        f"if this is cut off: trainfit run --resume --out {folder}, then"
        f" trainfit paper {chosen.name} --from {folder}",
    )
    with RunProgress() as progress:
        done = run_suite(suite, load_devices(suite), folder, progress, data_root=data_root)
    return [folder], sum(record.error is not None for record in done.records)


def _claims(chosen: Paper, runs: Sequence[Path]) -> list[Judged]:
    from trainfit.bench.claims.claim import judge_claims  # noqa: PLC0415
    from trainfit.bench.claims.listed import read_claims  # noqa: PLC0415

    return judge_claims(runs, [each for each in read_claims() if each.paper.name == chosen.name])


def _page(judged: Sequence[Judged]) -> str:
    from trainfit.bench.claims.text import markdown  # noqa: PLC0415

    return markdown(judged)


def _write_checks(judged: Sequence[Judged], file: Path) -> None:
    """Every check of every claim, for programs."""
    from trainfit.bench.cli.reports.claims import CHECKS as COLUMNS  # noqa: PLC0415
    from trainfit.bench.cli.reports.claims import check_rows  # noqa: PLC0415

    keys = [column.key for column in COLUMNS if column.key != "sides"]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, keys, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for each in judged for row in check_rows(each))


def _show_claims(judged: Sequence[Judged], runs: int) -> None:
    from trainfit.bench.claims.text import sentence  # noqa: PLC0415
    from trainfit.bench.cli.reports import claims as report  # noqa: PLC0415

    rows = [report.claim_row(each) for each in judged]
    output().table("claims", report.CLAIMS, rows, printed=[sentence(judged, runs)])
