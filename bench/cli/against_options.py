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
        help="Compare times with this revision, measured here and now in turns. Needs no RUN.",
        show_default=False,
    ),
]
SuiteOption = Annotated[
    str | None,
    typer.Option(metavar="SUITE", help="With --against: its workloads.", show_default=False),
]
WorkloadOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help='With --against: one workload, as "backprop mlp-64-128-128-10 digits b32"; '
        "repeatable.",
        show_default=False,
    ),
]
MaxRatioOption = Annotated[
    float | None,
    typer.Option(
        help="With --against: a step may take this many times as long. (default: 1.05)",
        show_default=False,
    ),
]
PairsOption = Annotated[
    int | None,
    typer.Option(
        help="With --against: at most so many pairs of fresh processes. (default: 6)",
        show_default=False,
    ),
]
MaxSecondsOption = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="With --against: of timed blocks per workload. (default: 15)",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="With --against: for operators. (default: the suite's, or 1)",
        show_default=False,
    ),
]
SensorOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="With --against: compare energy, too.", show_default=False),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(envvar="TRAINFIT_DATA_ROOT", help="With --against: where data sets are."),
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
