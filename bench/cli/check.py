"""``trainfit check``: does an algorithm keep every promise of the contract?

What checks imports torch, in processes of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainfit.bench.cli.options import name_algorithms
from trainfit.bench.cli.output import Row, output
from trainfit.bench.cli.progress import CountedLine, SpinnerLine
from trainfit.bench.errors import BenchError
from trainfit.bench.suite.workload_text import parse_options, parse_workload

if TYPE_CHECKING:
    from trainfit.bench.promises.checking import Asked
    from trainfit.bench.promises.finding import Finding

NO_MODEL = "none"
"""Stands for the nets that are chosen by what the algorithm trains."""


class CheckOptionError(BenchError):
    """What was asked for contradicts itself."""


def check(
    algorithm: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|MODULE:CLASS...",
            help="Algorithms, e.g. my_rules:MyRule or 'backprop[optimizer=adam]'.",
        ),
    ],
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Full name of the net to check on, e.g. mlp-64-32-10; repeatable. Without it,"
            " small ones of every family that the algorithm trains.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 12,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            help="Option of the algorithms, e.g. momentum=0.0; repeatable.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="One net per family, no training on the digits, no odd nets."),
    ] = False,
) -> None:
    """Check every promise of an algorithm; exit 1 if one is broken.

    One line per promise: what a step does to weights and batch, which tensors are listed, that the
    trace of a step has the bytes that are measured, that it learns. A broken one is named with the
    reason and the line. What crashes or hangs does so in a process of its own. Exit code 0: every
    promise is kept; 1: one is broken; 2: there is no such algorithm, or it refuses the net, the
    batch or an option.
    """
    name_algorithms(algorithm)
    with SpinnerLine("starting"):
        from trainfit.bench.cli.reports import check as report  # noqa: PLC0415  (imports torch)
        from trainfit.bench.promises.checking import Asked, any_broken  # noqa: PLC0415
    out = output()
    every = [
        Asked(rule, options, models, batch_size, quick)
        for rule, options, models in _rules(algorithm, model or [], option or [])
    ]
    rows: list[Row] = []
    broken = False
    for asked in every:
        findings = _findings(asked, report.promises(quick=quick))
        own = report.rows(asked, findings)
        rows += own
        broken = broken or any_broken(findings)
        out.show(*report.lines(asked, own))
    out.table("promises", report.COLUMNS, rows, printed=())
    out.fact("kept", not broken)
    if broken:
        raise typer.Exit(1)


def _findings(asked: Asked, names: Sequence[str]) -> list[Finding]:
    """What is found of each promise, while a bar says how far it is."""
    from trainfit.bench.promises import checking  # noqa: PLC0415  (imports torch)

    with CountedLine(f"checking {asked.rule}", len(names)) as line:
        return checking.check(asked, names, lambda _: line.advance())


def _rules(
    texts: Sequence[str], models: Sequence[str], options: Sequence[str]
) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Algorithm, options and nets of each text.

    Raises:
        CheckOptionError: An option is given twice.
        WorkloadTextError: A text is not of the form of a workload.
    """
    found = []
    for text in texts:
        given = parse_workload(text, model=NO_MODEL, dataset=NO_MODEL, batch_size=1)
        beside = parse_options(options, algorithm=given.algorithm)
        twice = sorted(beside.keys() & given.options.keys())
        if twice:
            raise CheckOptionError(f"--option {twice[0]}: {text!r} has it already; leave one out")
        named = () if given.model == NO_MODEL else (given.model,)
        found.append((given.algorithm, given.options | beside, (*named, *models)))
    return found
