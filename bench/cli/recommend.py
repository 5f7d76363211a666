"""``trainfit recommend``: what to train on a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from trainfit._whole_files import write_files
from trainfit.algorithms import algorithm_names, get_algorithm
from trainfit.algorithms.data import features_and_classes
from trainfit.bench.cli.options import (
    BudgetOption,
    asked_budgets,
    budget_table,
    name_algorithms,
    refuse_contradictions,
)
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import CountedLine
from trainfit.bench.cli.reports import recommend as report
from trainfit.bench.errors import BenchError
from trainfit.bench.records.reading import read_records, run_folders, runs_below
from trainfit.bench.sizing import recommend as asks
from trainfit.bench.sizing.recommend import Candidate
from trainfit.bench.sizing.recommend_suite import suite_text, untrained
from trainfit.hardware_profiles import Device, device_names, load_device

RUN_FOLDERS = ("runs", "results/runs")
"""Where records are looked for, below the current folder, unless --from says otherwise."""

ALL = "all"
"""Stands for every packaged device."""


class RecommendError(BenchError):
    """The question cannot be answered as it was asked."""


def recommend(
    device: Annotated[
        list[str],
        typer.Option(
            "--device", metavar="NAME|FILE|all", help="Device, e.g. apollo4-plus; repeatable."
        ),
    ],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Data set to learn, e.g. digits.")],
    *,
    min_accuracy: Annotated[
        float,
        typer.Option(help="Smallest test accuracy that counts, a share from 0 to 1, e.g. 0.9."),
    ] = 0.0,
    objective: Annotated[
        str,
        typer.Option(
            metavar="bytes|energy|latency", help="Quantity that accuracy is traded against."
        ),
    ] = "bytes",
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Run folder with accuracies, or a folder of run folders; repeatable.",
            show_default="all in runs and results/runs",
        ),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Algorithm to consider, e.g. pepita; repeatable.",
            show_default="all",
        ),
    ] = None,
    width: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Units per hidden layer of the models to consider, e.g. 128; repeatable.",
            show_default=", ".join(map(str, asks.WIDTHS)),
        ),
    ] = None,
    depth: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=99,
            help="Hidden layers of the models to consider, e.g. 2; repeatable.",
            show_default=", ".join(map(str, asks.DEPTHS)),
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Samples per step of what is considered.")
    ] = 32,
    budget: BudgetOption = None,
    suite: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Suite to write that trains what fits and has no record yet, e.g. next.toml.",
        ),
    ] = None,
) -> None:
    """Rank what could be trained on a device for a data set.

    Judges every algorithm on a grid of model sizes, and every workload whose accuracy is on record,
    and prints the Pareto front: nothing that fits is more accurate for less. Accuracies are read
    from records only; what fits and has no record is offered as a suite.
    """
    if objective not in list(asks.Objective):
        raise RecommendError(f"--objective {objective}: write bytes, energy or latency")
    if not 0 <= min_accuracy <= 1:
        raise RecommendError(
            f"--min-accuracy {min_accuracy:g}: write a share from 0 to 1, 0.95 for 95 %"
        )
    if suite is not None:
        _check_suite(suite)
    name_algorithms(algorithm or [])
    for name in algorithm or []:
        get_algorithm(name)
    given = list(dict.fromkeys(device))
    if ALL in given:
        given = list(dict.fromkeys([*device_names(), *(name for name in given if name != ALL)]))
    devices = [load_device(name) for name in given]
    _refuse_namesakes(devices)
    asked = asked_budgets(budget)
    for each in devices:
        refuse_contradictions(each, asked)
    features, classes = features_and_classes(dataset)
    folders = run_folders(runs) if runs else runs_below(*RUN_FOLDERS)
    in_hand = asks.trained(
        [record for folder in folders for record in read_records(folder)], dataset
    )
    sizes = asks.grid(
        list(dict.fromkeys(algorithm or algorithm_names())),
        features,
        classes,
        dataset=dataset,
        batch_size=batch_size,
        widths=sorted(set(width or asks.WIDTHS)),
        depths=sorted(set(depth or asks.DEPTHS)),
    )
    goal = asks.Objective(objective)
    found: list[Candidate] = []
    fronts: dict[str, list[Candidate]] = {}
    with CountedLine("closed forms", len(devices)) as bar:
        made = asks.forms([*(each.workload for each in in_hand), *sizes])
        for each in devices:
            own = asks.candidates(in_hand, sizes, each, asked, made)
            found += own
            fronts[each.name] = asks.front(own, goal, min_accuracy)
            bar.advance()
    _show(found, fronts, report.Asked(goal, min_accuracy), folders=len(folders), dataset=dataset)
    offered = untrained(found)

    def text() -> str:
        assert suite is not None
        return suite_text(
            offered,
            dataset,
            batch_size,
            name=suite.stem,
            devices=[_as_a_suite_names_it(name, suite) for name in given],
            budgets=budget_table(budget),
        )

    _offer(offered, suite, text)


def _refuse_namesakes(devices: Sequence[Device]) -> None:
    names = [device.name for device in devices]
    for name in names:
        if names.count(name) > 1:
            raise RecommendError(
                f"--device {name}: two devices have this name; rename the file of one and the name"
                " in it"
            )


def _show(
    found: Sequence[Candidate],
    fronts: dict[str, list[Candidate]],
    asked: report.Asked,
    *,
    folders: int,
    dataset: str,
) -> None:
    out = output()
    in_hand = {id(each.trained) for each in found if each.trained}
    out.show(
        f"{dataset}: {len(in_hand)} trained workloads in {folders} run folders,"
        f" {len(found):,} judged against devices by closed form"
    )
    if not in_hand:
        out.show(
            f"No record says how well anything trains {dataset}; accuracy is read from records"
            " only (--from RUN)."
        )
    elif any(fronts.values()):
        out.show("Trained, fitting, and nothing that fits is at least as accurate for less:")
    rows = [report.row(each) for chosen in fronts.values() for each in chosen]
    printed = report.by_device(fronts, found, asked) if in_hand else ()
    out.table("front", report.COLUMNS, rows, printed=printed)
    out.table("candidates", report.COLUMNS, [report.row(each) for each in found], printed=())


def _offer(offered: Sequence[Candidate], suite: Path | None, text: Callable[[], str]) -> None:
    out = output()
    out.table("untrained", report.COLUMNS, [report.row(each) for each in offered], printed=())
    count = len({(each.workload.algorithm, each.workload.model) for each in offered})
    if not offered:
        written = "" if suite is None else f"; {suite} was not written"
        out.show(f"Nothing of the grid fits that has no record{written}.")
        return
    if suite is None:
        out.show(
            f"Fits, and nobody has trained it yet: {count} workloads (of every algorithm and depth"
            " the widest); --suite FILE.toml writes a suite that does"
        )
        return
    content = text().encode()
    try:
        if suite.exists():
            raise _exists(suite)
        write_files(suite.parent, {suite.name: content})
    except OSError as error:
        raise RecommendError(f"--suite {suite}: cannot be written: {error.strerror}") from error
    out.show(f"{count} workloads that fit and have no record: trainfit run {suite}")
    out.fact("suite", str(suite))


def _check_suite(suite: Path) -> None:
    """Refuse at once what could not be written in the end, or not be read again."""
    if suite.suffix != ".toml":
        raise RecommendError(f"--suite {suite}: write a name that ends in .toml")
    if suite.exists():
        raise _exists(suite)
    if not suite.parent.is_dir():
        raise RecommendError(f"--suite {suite}: there is no folder {suite.parent}; make it first")


def _exists(suite: Path) -> RecommendError:
    return RecommendError(
        f"--suite {suite}: exists already, nothing was overwritten; choose another name"
    )


def _as_a_suite_names_it(device: str, suite: Path) -> str:
    """A name as it is; the path of a device file relative to the folder of the suite."""
    return os.path.relpath(device, suite.parent) if device.endswith(".toml") else device
