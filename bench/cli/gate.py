"""The command that fails when training needs other bytes: ``trainfit gate RUN --golden FILE``.

Exit codes: 0 pass, 1 regression, 2 the input is wrong, 3 the two cannot be compared. A fault of
trainfit itself is 3 as well; its line begins with "fault in trainfit", that of a comparison that is
not possible with "not comparable".
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from trainfit.bench.cli.gate_output import (
    GithubOption,
    JunitOption,
    MarkdownOption,
    MissingOption,
    OptionalGoldenOption,
    PruneOption,
    Reports,
    StrictOption,
    UpdateOption,
    gate_or_update,
)
from trainfit.bench.cli.group import Command, application
from trainfit.bench.cli.output import output, unseen
from trainfit.bench.gate.rules import GoldenError
from trainfit.bench.gate.run import read_run


class _Gate(Command):
    """Knows where its former option ``--against`` went, whatever was given with it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command, but the former option is no unknown one.

        Raises:
            GoldenError: It is given.
        """
        if any(word.partition("=")[0] == "--against" for word in args):
            raise GoldenError(
                "gate --against REV is a command of its own now: trainfit compare-revisions REV "
                "--suite SUITE or --workload TEXT"
            )
        found: list[str] = super().parse_args(ctx, args)
        return found


gate = application()


@gate.command("gate", cls=_Gate)
def _gate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run folder of trainfit run, e.g. runs/memory."),
    ],
    *,
    golden: OptionalGoldenOption = None,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Plant a growth, a shrink and a leak of 1,024 B in the step of the smallest"
            " workload of RUN, and see that the gate finds each; needs no golden.",
        ),
    ] = False,
    update: UpdateOption = False,
    prune: PruneOption = False,
    strict: StrictOption = False,
    missing: MissingOption = None,
    markdown: MarkdownOption = None,
    junit: JunitOption = None,
    github: GithubOption = None,
) -> None:
    """Compare bytes with a golden file; exit 1 on any change.

    Exact figures only: bytes per stage, phase and category, predictions, counts of operations.
    More fails, and so does less, until --update accepts it. Exit code 0: as expected, 1: not, 2:
    wrong input, 3: not comparable, for instance because of another torch.
    """
    if self_test:
        if golden or update or prune or strict or missing or markdown or junit or github:
            raise GoldenError("--self-test takes RUN only: it compares with no golden")
        _test_itself(run)
        return
    if golden is None:
        raise GoldenError(
            "Missing option '--golden': the file with the expected bytes, e.g. ci/memory.json"
        )
    gate_or_update(
        read_run,
        run,
        golden,
        command="gate",
        update=update,
        prune=prune,
        strict=strict,
        missing=missing,
        reports=Reports(markdown, junit, github),
    )


def _test_itself(run: Path) -> None:
    """Say what was planted and what the gate saw of it.

    Raises:
        typer.Exit: It did not see all of it.
    """
    # Imports torch, which gating does not need.
    from trainfit.bench.run.self_test import self_test_workload, smallest_workload  # noqa: PLC0415

    workload = smallest_workload(run)
    found = self_test_workload(workload)
    out = output()
    seen = all(each.seen for each in found)
    rows = [{**asdict(each), "seen": each.seen} for each in found]
    out.table("planted", unseen("what bytes saw told fails seen"), rows, printed=())
    out.fact("workload", workload.label)
    out.show(f"self-test on {workload.label}", *(each.text for each in found))
    out.show(f"self-test: {'every planted change was seen' if seen else 'FAILED'}")
    if not seen:
        raise typer.Exit(1)
