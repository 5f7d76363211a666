"""The command that gates the bytes in a JSON file of pytest-benchmark.

Its own comparison knows only times. The golden file, the rules and the exit codes are those of
``trainfit gate``: 0 pass, 1 regression, 2 the input is wrong, 3 not comparable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainfit.bench.cli.gate_output import (
    GithubOption,
    JunitOption,
    MarkdownOption,
    Reports,
    finish,
    show_update,
)
from trainfit.bench.gate.golden import read_golden
from trainfit.bench.gate.rules import GoldenError, Missing
from trainfit.bench.gate.run import gate_measured
from trainfit.bench.gate.update import update_golden
from trainfit.bench.testing.benchmark_bridge import read_benchmarks


def gate_benchmark(
    benchmarks: Annotated[
        Path,
        typer.Argument(
            metavar="BENCHMARK.json", help="File written by pytest --benchmark-json=FILE."
        ),
    ],
    *,
    golden: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Golden file with the expected bytes."),
    ],
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Write these bytes as the golden file, and show what that accepts."
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="With --update: remove benchmarks that were not run."),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail on benchmarks that the golden file does not have."),
    ] = False,
    missing: Annotated[
        Missing | None,
        typer.Option(
            help="Outcome for benchmarks that were not run, whatever the rules say.",
            show_default="fail",
        ),
    ] = None,
    markdown: MarkdownOption = None,
    junit: JunitOption = None,
    github: GithubOption = None,
) -> None:
    """Gate the bytes in a JSON file of pytest-benchmark.

    A benchmark has bytes if it calls trainfit.record_benchmark. Its times are not looked at, here
    or in the golden: compare them within one job.
    """
    if prune and not update:
        raise GoldenError("--prune is for --update: the gate itself changes no golden")
    to = Reports(markdown, junit, github)
    to.check()
    found = read_benchmarks(benchmarks)
    remedy = f"trainfit gate-benchmark {benchmarks} --golden {golden} --update"
    if update:
        show_update(update_golden(found, golden, prune=prune), golden)
        return
    if not golden.exists():
        raise GoldenError(f"{golden}: there is no golden; make it: {remedy}")
    result = gate_measured(read_golden(golden), found, strict=strict, missing=missing)
    finish(result, measured=benchmarks, golden=golden, remedy=remedy, to=to)
