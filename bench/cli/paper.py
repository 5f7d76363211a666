"""``trainfit paper``: the figures, tables and claims of a paper, in one folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainfit._escaping import csv_cell
from trainfit.bench.claims.claim import Judged, judge_claims
from trainfit.bench.claims.listed import chosen as chosen_claims
from trainfit.bench.claims.listed import read_claims
from trainfit.bench.claims.text import markdown, sentence
from trainfit.bench.cli.options import ColumnsOption, DataRootOption
from trainfit.bench.cli.output import output
from trainfit.bench.cli.plot import show
from trainfit.bench.cli.reports import claims as report
from trainfit.bench.cli.run import measure, new_run_folder
from trainfit.bench.papers.drawing import Drawer
from trainfit.bench.papers.paper import INDEX, Paper, PaperError, find_paper, index, its_runs
from trainfit.bench.records.reading import read_environment, run_folders
from trainfit.bench.suite.manifest import load_devices
from trainfit.bench.suite.suite import load_suite

CHECKS = "claims.csv"
"""The checks of all claims, beside the index."""


def paper(
    name: Annotated[str, typer.Argument(metavar="tinyfoa|ff-int8", help="Paper to reproduce.")],
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Run folder whose records to take instead of measuring, or a folder of run "
            "folders; repeatable.",
            show_default="run the paper's suite",
        ),
    ] = None,
    data_root: DataRootOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder that everything is written to.",
            show_default="papers/NAME",
        ),
    ] = None,
    columns: ColumnsOption = 2,
) -> None:
    """Reproduce the figures, tables and claims of a paper.

    Without --from the paper's suite is run first, which trains on MNIST and takes about an hour on
    two cores. What cannot be made from the records is listed in the folder's README.md, with the
    command that makes the missing ones.
    """
    chosen = find_paper(name)
    folder = out or Path("papers") / chosen.name
    given, failed = (run_folders(runs), 0) if runs else _measured(chosen, data_root)
    folders = its_runs(chosen, given)
    drawer = Drawer(folders, folder, columns)
    made = [*map(drawer.figure, chosen.figures), *map(drawer.table, chosen.tables)]
    if not any(each.files for each in made):
        where = ", ".join(str(run) for run in folders)
        raise PaperError(f"nothing of {chosen.name} can be made from {where}: {made[0].missing}")
    judged = judge_claims(given, chosen_claims(read_claims(), [], chosen.name))
    for run in folders:
        read_environment(run)  # what is wrong with a run is said before anything is written
    drawer.write()
    page = index(chosen, folders, runs or folders, made, markdown(judged))
    drawer.contents = {INDEX: page.encode(), CHECKS: _checks(judged).encode()}
    drawer.write()
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
    suite = load_suite(chosen.suite)
    folder = new_run_folder(suite)
    output().show(
        f"{suite.description}: {len(suite.workloads)} workloads, records go to {folder}",
        f"if this is cut off: trainfit run --resume --out {folder}, then"
        f" trainfit paper {chosen.name} --from {folder}",
    )
    done = measure(suite, load_devices(suite), folder, data_root)
    return [folder], sum(record.error is not None for record in done.records)


def _checks(judged: Sequence[Judged]) -> str:
    """Every check of every claim as CSV, for programs."""
    keys = [column.key for column in report.CHECKS if column.key != "sides"]
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    rows = (row for each in judged for row in report.check_rows(each))
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _show_claims(judged: Sequence[Judged], runs: int) -> None:
    rows = [report.claim_row(each) for each in judged]
    output().table("claims", report.CLAIMS, rows, printed=[sentence(judged, runs)])
