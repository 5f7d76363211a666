"""``trainfit claims``: what papers claim, compared with records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainfit.bench.claims.claim import ClaimsError, ClaimVerdict, Judged, command, judge_claims
from trainfit.bench.claims.listed import chosen, read_claims
from trainfit.bench.claims.text import counts, sentence
from trainfit.bench.cli.output import output
from trainfit.bench.cli.reports import claims as report
from trainfit.bench.records.reading import run_folders, runs_below

KEPT = Path("results") / "runs"
"""Where records are looked for, below the current folder, unless --from says otherwise."""


def claims(
    claim: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CLAIM",
            help="Claims to judge, e.g. ff-int8-lookahead.",
            show_default="all",
        ),
    ] = None,
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Run folder, or a folder of run folders; repeatable.",
            show_default="results/runs",
        ),
    ] = None,
    paper: Annotated[
        str | None, typer.Option(metavar="NAME", help="Paper whose claims to judge, e.g. tinyfoa.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--claims",
            metavar="FILE",
            help="Python file with claims, e.g. claims.py.",
            show_default="those that come with trainfit",
        ),
    ] = None,
) -> None:
    """Compare the claims of papers with records.

    Nothing is measured. A claim holds, holds in part, does not hold, is not decided (the records do
    not allow a verdict; why is said), is not testable here, or has no records, and then the command
    that makes them is named. A claim that does not hold is a result: the exit code stays 0.
    """
    asked = chosen(read_claims(file), claim or [], paper)
    folders = run_folders(runs) if runs else runs_below(KEPT)
    if not folders:
        raise ClaimsError(
            f"claims are judged by records, and there are none in {KEPT}; give runs with --from RUN"
        )
    judged = judge_claims(folders, asked)
    _require_judged(judged, by_name=bool(claim))
    out = output()
    out.fact("sentence", sentence(judged, len(folders)))
    out.fact("counts", counts(judged))
    out.fact("runs", [str(folder) for folder in folders])
    out.show(sentence(judged, len(folders)))
    out.table(
        "claims",
        report.CLAIMS,
        [report.claim_row(each) for each in judged],
        printed=report.printed(judged),
    )
    rows = [row for each in judged for row in report.check_rows(each)]
    out.table("checks", report.CHECKS, rows, printed=())


def _require_judged(judged: Sequence[Judged], *, by_name: bool) -> None:
    """Refuse to answer with nothing: no claim has records, or one that was asked for has none.

    Raises:
        ClaimsError: What is missing and the command that makes it.
    """
    missing = [each for each in judged if each.verdict is ClaimVerdict.NO_RECORDS]
    testable = [each for each in judged if each.checks]
    if not missing or (len(missing) < len(testable) and not by_name):
        return
    first = missing[0]
    what = (
        f"{first.claim.id} cannot be judged"
        if by_name or len(testable) == 1
        else f"none of {len(testable)} claims can be judged, {first.claim.id} for one"
    )
    commands = " and ".join(command(suite) for suite in first.suites)
    raise ClaimsError(f"{what}: {first.reason}; make the records with {commands}")
