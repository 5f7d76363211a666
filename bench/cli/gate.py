"""The command that fails when training got hungrier: ``trainfit gate RUN --golden FILE``.

With ``--against REV`` it fails when a step got slower; :mod:`trainfit.bench.cli.against_options` is
that part.

Exit codes: 0 pass, 1 regression, 2 the input is wrong, 3 the two cannot be compared. A fault of
trainfit itself is 3 as well; its line begins with "fault in trainfit", that of a comparison that is
not possible with "not comparable".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainfit.bench.cli import against_options as cli_against
from trainfit.bench.cli.gate_output import (
    GithubOption,
    JunitOption,
    MarkdownOption,
    Reports,
    finish,
    show_update,
)
from trainfit.bench.cli.options import DataRootOption
from trainfit.bench.cli.reports import against as against_report
from trainfit.bench.gate import ci_formats
from trainfit.bench.gate.rules import GoldenError, Missing
from trainfit.bench.gate.run import gate_run
from trainfit.bench.gate.update import update_from_run
from trainfit.bench.latency_comparison.result import AgainstResult


def gate(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Run folder, written by trainfit run."),
    ] = None,
    *,
    golden: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Golden file with the expected bytes, e.g. boards.json.",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Write the run as the golden file, and show what that accepts."
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="With --update: remove workloads that the run does not have."),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail on workloads that the golden file does not have."),
    ] = False,
    missing: Annotated[
        Missing | None,
        typer.Option(
            help="Outcome for workloads that the run does not have, whatever the rules say.",
            show_default="fail",
        ),
    ] = None,
    markdown: MarkdownOption = None,
    junit: JunitOption = None,
    github: GithubOption = None,
    against: cli_against.AgainstOption = None,
    suite: cli_against.SuiteOption = None,
    workload: cli_against.WorkloadOption = None,
    max_ratio: cli_against.MaxRatioOption = None,
    pairs: cli_against.PairsOption = None,
    max_seconds: cli_against.MaxSecondsOption = None,
    threads: cli_against.ThreadsOption = None,
    sensor: cli_against.SensorOption = None,
    data_root: DataRootOption = None,
) -> None:
    """Compare bytes with a golden file; exit 1 on any change.

    Exact figures only: bytes per stage, phase and category, closed forms, counts of operations.
    More fails, and so does less, until --update accepts it. Exit code 0: as expected, 1: not, 2:
    wrong input, 3: not comparable, for instance because of another torch.

    With --against REV, fail if a step takes longer than in that revision of the repository in the
    current folder: both are measured here, in turns, and the ratio is judged by its interval.
    """
    to = Reports(markdown, junit, github)
    to.check()
    asked = cli_against.Asked(suite, workload, max_ratio, pairs, max_seconds, threads, sensor)
    if against is not None:
        if run is not None or golden is not None or update or prune or strict or missing:
            raise GoldenError(
                "--against REV measures anew: leave out RUN, --golden and what belongs to them"
            )
        found = cli_against.gate_against(against, asked, data_root)
        _reports_against(found, to)
        code = cli_against.finish(found, annotate=to.annotations).exit_code
        if code:
            raise typer.Exit(code)
        return
    asked.refuse_alone()
    if run is None or golden is None:
        raise GoldenError(f"gate needs {'RUN' if run is None else '--golden FILE'}: {_USAGE}")
    if prune and not update:
        raise GoldenError("--prune is for --update: the gate itself changes no golden")
    if update:
        show_update(update_from_run(run, golden, prune=prune), golden)
        return
    finish(
        gate_run(run, golden, strict=strict, missing=missing),
        measured=run,
        golden=golden,
        remedy=f"trainfit gate {run} --golden {golden} --update",
        to=to,
    )


def _reports_against(found: AgainstResult, to: Reports) -> None:
    to.write(against_report.markdown(found), ci_formats.junit(against_report.gate_result(found)))


_USAGE = "trainfit gate RUN --golden FILE, or trainfit gate --against REV --suite SUITE"
