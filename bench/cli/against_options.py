"""``trainfit gate --against REV``: the part of the command ``gate`` that compares two revisions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports.against import gate_result, show
from trainfit.bench.gate.ci_formats import github
from trainfit.bench.gate.compare import GateResult
from trainfit.bench.latency_comparison.git_worktree import AgainstError
from trainfit.bench.latency_comparison.result import AgainstLimits, AgainstResult
from trainfit.bench.latency_comparison.revisions import run_against
from trainfit.bench.records.schema import Workload
from trainfit.bench.suite.suite import load_suite
from trainfit.bench.suite.workload_text import parse_workload

AgainstOption = Annotated[
    str | None,
    typer.Option(
        metavar="REV",
        help="Revision to compare times with, measured here in turns; needs no RUN; e.g. main.",
    ),
]
SuiteOption = Annotated[
    str | None,
    typer.Option(
        metavar="SUITE", help="With --against: suite whose workloads to measure, e.g. quick."
    ),
]
WorkloadOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help='With --against: workload to measure, e.g. "backprop mlp-64-128-128-10 digits b32"; '
        "repeatable.",
    ),
]
MaxRatioOption = Annotated[
    float | None,
    typer.Option(help="With --against: largest ratio of times, now to then.", show_default="1.05"),
]
PairsOption = Annotated[
    int | None,
    typer.Option(help="With --against: most pairs of fresh processes.", show_default="6"),
]
MaxSecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="With --against: seconds of timed blocks per workload.",
        show_default="15",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="With --against: threads used inside operators.",
        show_default="the suite's, or 1",
    ),
]
SensorOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="With --against: sensor to compare energy with, too, e.g. rapl."
    ),
]


@dataclass(frozen=True)
class Asked:
    """What the options say; None where nothing was said."""

    suite: str | None
    workloads: Sequence[str] | None
    max_ratio: float | None
    pairs: int | None
    max_seconds: float | None
    threads: int | None
    sensor: str | None

    def refuse_alone(self) -> None:
        """Refuse options that mean nothing without ``--against``.

        Raises:
            AgainstError: One of them was given.
        """
        given = [name for name, value in vars(self).items() if value]
        if given:
            words = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            words = words.replace("--workloads", "--workload")
            raise AgainstError(f"{words}: for --against REV only; a RUN has been measured already")


def gate_against(revision: str, asked: Asked, data_root: Path | None) -> AgainstResult:
    """Compare with a revision and hand the result to the output.

    Raises:
        AgainstError: Nothing was named to be measured, or there is nothing to compare with.
    """
    workloads, threads, sensor = _chosen(asked)
    values: dict[str, Any] = {
        "max_ratio": asked.max_ratio,
        "most_pairs": asked.pairs,
        "most_seconds": asked.max_seconds,
    }
    limits = AgainstLimits(**{key: value for key, value in values.items() if value is not None})
    with SpinnerLine() as line:
        result = run_against(
            revision,
            workloads,
            limits,
            threads=threads,
            data_root=data_root,
            sensor=sensor,
            progress=line.show,
        )
    show(result)
    return result


def finish(result: AgainstResult, *, annotate: bool) -> GateResult:
    """Annotations for GitHub, and the line on stderr for what could not be compared."""
    found = gate_result(result)
    if annotate:
        for text in github(found, file="", text=""):
            print(text)
    if found.incomparable:
        print(f"trainfit: not comparable: {'; '.join(found.incomparable)}", file=sys.stderr)
    return found


def _chosen(asked: Asked) -> tuple[list[Workload], int, str | None]:
    """Workloads, threads and sensor, from a suite and from what was typed."""
    typed = [parse_workload(text) for text in asked.workloads or ()]
    if asked.suite is None:
        if not typed:
            raise AgainstError(
                "--against REV needs something to measure: --suite quick, or --workload "
                '"backprop mlp-64-128-128-10 digits b32"'
            )
        return typed, asked.threads or 1, asked.sensor
    suite = load_suite(asked.suite)
    return [*suite.workloads, *typed], asked.threads or suite.threads, asked.sensor
