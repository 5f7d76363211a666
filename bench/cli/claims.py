"""The command that holds what papers claim against records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainfit.bench.cli.output import output

if TYPE_CHECKING:
    from trainfit.bench.claims.claim import Judged

KEPT = Path("results") / "runs"
"""Where records are looked for, below the current folder, unless --from says otherwise."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(claims)


def claims(
    claim: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLAIM]...", help="Only these. [default: all]", show_default=False),
    ] = None,
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="A run folder, or a folder of them; repeatable. [default: results/runs]",
            show_default=False,
        ),
    ] = None,
    paper: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the claims of this paper.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--claims",
            metavar="FILE",
            help="A Python file with claims. [default: those that come with trainfit]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """What do papers claim, and what do records say of it?

    Every claim is held against records, and nothing is measured: it holds, holds in part, does not
    hold, is not testable here, or has no records, and then the command that makes them is named. A
    claim that does not hold is a result: the exit code stays 0.
    """
    from trainfit.bench.claims.claim import judge_claims  # noqa: PLC0415
    from trainfit.bench.claims.listed import chosen, read_claims  # noqa: PLC0415
    from trainfit.bench.claims.text import counts, sentence  # noqa: PLC0415
    from trainfit.bench.cli.reports import claims as report  # noqa: PLC0415

    asked = chosen(read_claims(file), claim or [], paper)
    folders = _folders(runs)
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


def _folders(given: Sequence[Path] | None) -> list[Path]:
    """The run folders that are meant.

    Raises:
        ClaimsError: One is neither a run folder nor a folder of them, or there are none.
    """
    from trainfit.bench.claims.claim import ClaimsError  # noqa: PLC0415
    from trainfit.bench.records.reading import RECORDS  # noqa: PLC0415

    found: list[Path] = []
    for folder in given or [KEPT]:
        inside = sorted(path.parent for path in folder.glob(f"*/{RECORDS}"))
        own = [folder] if (folder / RECORDS).is_file() else inside
        if not own and given:
            raise ClaimsError(
                f"--from {folder}: is neither a run folder nor a folder of them, there is no"
                f" {RECORDS}; give one that trainfit run has written"
            )
        found += own
    if not found:
        raise ClaimsError(
            f"claims are judged by records, and there are none in {KEPT}; give runs with --from RUN"
        )
    return list(dict.fromkeys(found))


def _require_judged(judged: Sequence[Judged], *, by_name: bool) -> None:
    """Refuse to answer with nothing: no claim has records, or one that was asked for has none.

    Raises:
        ClaimsError: What is missing and the command that makes it.
    """
    from trainfit.bench.claims.claim import ClaimsError, Verdict, command  # noqa: PLC0415

    missing = [each for each in judged if each.verdict is Verdict.NO_RECORDS]
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
