"""The command that fails when a step got slower: ``trainfit compare-revisions REV``.

Exit codes: 0 no regression, 1 regression, 2 the input is wrong, 3 the two cannot be compared.
"""

from __future__ import annotations

from typing import Annotated

import typer

from trainfit.algorithms.outside import require_permitted
from trainfit.bench.cli.gate_output import (
    GithubOption,
    JunitOption,
    MarkdownOption,
    Reports,
    finish,
)
from trainfit.bench.cli.options import DataRootOption, name_algorithms
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports import revisions as report
from trainfit.bench.latency_comparison.result import MAX_RATIO, MOST_PAIRS, RevisionLimits
from trainfit.bench.latency_comparison.revisions import run_revisions
from trainfit.bench.latency_comparison.source_tree import RevisionError
from trainfit.bench.records.schema import Workload
from trainfit.bench.suite.suite import load_suite
from trainfit.bench.suite.workload_text import parse_workload


def compare_revisions(
    revision: Annotated[
        str,
        typer.Argument(metavar="REV", help="Branch, tag or commit, e.g. main or HEAD~1."),
    ],
    *,
    suite: Annotated[
        str | None,
        typer.Option(metavar="SUITE", help="Suite whose workloads are measured, e.g. quick."),
    ] = None,
    workload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help='Workload to measure, e.g. "backprop mlp-64-128-128-10 digits b32"; repeatable.',
        ),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:CLASS",
            help="Algorithm from outside that the suite names and that may be run; repeatable.",
        ),
    ] = None,
    max_ratio: Annotated[
        float, typer.Option(help="Allowed ratio of step times, now over then.")
    ] = MAX_RATIO,
    pairs: Annotated[
        int, typer.Option(help="Largest number of pairs of fresh processes; even, at least 4.")
    ] = MOST_PAIRS,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Time limit of the timed blocks per workload, seconds.")
    ] = 15.0,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Threads used inside operators.",
            show_default="the suite's, or 1",
        ),
    ] = None,
    sensor: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Sensor by which energy is compared as well, e.g. rapl."),
    ] = None,
    data_root: DataRootOption = None,
    markdown: MarkdownOption = None,
    junit: JunitOption = None,
    github: GithubOption = None,
) -> None:
    """Compare step times with another revision; exit 1 if slower.

    The revision of the repository in the current folder and the working tree are measured here, in
    turns, and the ratio of their times is judged by its interval. Bytes are reported as well, and
    gated with trainfit gate. Exit code 0: no regression, 1: regression, 2: wrong input, 3: not
    comparable.
    """
    reports = Reports(markdown, junit, github)
    name_algorithms([*(algorithm or []), *(workload or [])])
    workloads, suite_threads = _chosen(suite, workload or [])
    with SpinnerLine() as line:
        result = run_revisions(
            revision,
            workloads,
            RevisionLimits(max_ratio=max_ratio, most_pairs=pairs, most_seconds=max_seconds),
            threads=threads or suite_threads,
            data_root=data_root,
            sensor=sensor,
            progress=line.show,
        )
    report.show(result)
    found = report.gate_result(result)
    reports.write(found, report.markdown(result))
    finish(found)


def _chosen(name: str | None, typed: list[str]) -> tuple[list[Workload], int]:
    """Workloads of a suite and of what was typed, and the threads they run with."""
    if not (name or typed):
        raise RevisionError(
            "compare-revisions needs something to measure: --suite quick, or --workload "
            '"backprop mlp-64-128-128-10 digits b32"'
        )
    workloads = [parse_workload(text) for text in typed]
    if name is None:
        return workloads, 1
    suite = load_suite(name)
    for each in suite.workloads:
        require_permitted(each.algorithm)
    return [*suite.workloads, *workloads], suite.threads
