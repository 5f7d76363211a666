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
    GoldenOption,
    JunitOption,
    MarkdownOption,
    MissingOption,
    PruneOption,
    Reports,
    StrictOption,
    UpdateOption,
    gate_or_update,
)
from trainfit.bench.testing.benchmark_bridge import read_benchmarks


def gate_benchmark(
    benchmarks: Annotated[
        Path,
        typer.Argument(
            metavar="BENCHMARK.json",
            help="File of pytest --benchmark-json, e.g. reports/benchmarks.json.",
        ),
    ],
    *,
    golden: GoldenOption,
    update: UpdateOption = False,
    prune: PruneOption = False,
    strict: StrictOption = False,
    missing: MissingOption = None,
    markdown: MarkdownOption = None,
    junit: JunitOption = None,
    github: GithubOption = None,
) -> None:
    """Compare bytes in a JSON file of pytest-benchmark with a golden file.

    A benchmark has bytes if it calls trainfit.record_benchmark. Its times are not looked at, here
    or in the golden: compare them within one job.
    """
    gate_or_update(
        read_benchmarks,
        benchmarks,
        golden,
        command="gate-benchmark",
        update=update,
        prune=prune,
        strict=strict,
        missing=missing,
        reports=Reports(markdown, junit, github),
    )
