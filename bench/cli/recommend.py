"""``trainfit recommend``: what to train on a device."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from trainfit._whole_files import write_files
from trainfit.algorithms import algorithm_names, get_algorithm
from trainfit.algorithms.data import describe_datasets, features_and_classes
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
from trainfit.bench.records.schema import Record
from trainfit.bench.sizing import grid as sizes
from trainfit.bench.sizing.kept import NAMED, kept_runs, torch_versions
from trainfit.bench.sizing.memo.memo import remembering
from trainfit.bench.sizing.recommend import Candidate, Objective, candidates, front, runners_up
from trainfit.bench.sizing.recommend_suite import Offer, distinct, offer, suite_text
from trainfit.bench.sizing.trained import Skipped, Trained, split_by_installed, trained
from trainfit.bench.sizing.training_time import training_seconds
from trainfit.hardware_profiles import Device, device_names, load_device

RUN_FOLDERS = ("results/runs", "runs")
"""Where records are looked for, below the current folder, unless --from says otherwise."""

ALL = "all"
"""Stands for every packaged device."""


class RecommendError(BenchError):
    """The question cannot be answered as it was asked."""


class Data(NamedTuple):
    """What is learnt."""

    name: str
    features: int
    classes: int
    samples: int | None


class Sources(NamedTuple):
    """What was read: the records of every run by its name, and where the runs are from."""

    runs: Mapping[str, Sequence[Record]]
    packaged: int
    torch: Sequence[str]


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
        typer.Option(
            help="Smallest test accuracy that counts, as mean over seeds: a share from 0 to 1, e.g."
            " 0.9."
        ),
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
            show_default="those that come with trainfit, and all in runs and results/runs",
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
            show_default=", ".join(map(str, sizes.WIDTHS)),
        ),
    ] = None,
    depth: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=99,
            help="Hidden layers of the models to consider, e.g. 2; repeatable.",
            show_default=", ".join(map(str, sizes.DEPTHS)),
        ),
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Samples per step to consider, e.g. 8; repeatable.",
            show_default=", ".join(map(str, sizes.BATCHES)),
        ),
    ] = None,
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

    Judges every workload whose accuracy is on record, and every algorithm on a grid of model sizes
    and batches, and prints the Pareto front: nothing that fits is more accurate for less.
    Accuracies are read from records only; what fits and has no record is offered as a suite.
    """
    if objective not in list(Objective):
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
    data = _data(dataset)
    sources = _read(runs)
    wanted = list(dict.fromkeys(algorithm or algorithm_names()))
    in_hand, skipped = split_by_installed(
        trained(sources.runs, dataset), {*algorithm_names(), *wanted}
    )
    widths, depths = sorted(set(width or sizes.WIDTHS)), sorted(set(depth or sizes.DEPTHS))
    batches = sorted(set(batch_size or sizes.BATCHES))
    searched = sizes.grid(
        sizes.choices(wanted, in_hand),
        data.features,
        data.classes,
        dataset=dataset,
        batches=batches,
        widths=widths,
        depths=depths,
    )
    goal = Objective(objective)
    with remembering() as memo:
        found: list[Candidate] = []
        fronts: dict[str, list[Candidate]] = {}
        made = sizes.Forms(with_operations=output().rows_are_seen)
        with CountedLine("predictions", len(devices)) as bar:
            for each in devices:
                own = candidates(in_hand, searched, each, asked, made)
                found += own
                fronts[each.name] = front(own, goal, min_accuracy)
                bar.advance()
        skipped += [
            Skipped(one.workload, why) for one in in_hand if (why := made.why_not(one.workload))
        ]
        space = {
            "algorithms": wanted,
            "widths": widths,
            "depths": depths,
            "batch_sizes": batches,
            "predictions": len(made),
            "devices": [each.name for each in devices],
        }
        space |= {"predictions_from_cache": memo.found}
        _show_search(data, sources, in_hand, skipped, space)
        _show_fronts(found, fronts, report.Asked(goal, min_accuracy), dataset)
        offered = offer(found)
        seconds = [
            training_seconds(one.workload, in_hand, made, data.samples) for one in offered.missing
        ]
        rows = list(map(report.OfferedRow, offered.missing, seconds))
        _show_offer(offered, rows, len(wanted) * len(depths) * len(devices), len(devices))
        if suite is not None and offered.missing:
            text = suite_text(
                offered.missing,
                dataset,
                name=suite.stem,
                devices=[_as_a_suite_names_it(name, suite) for name in given],
                budgets=budget_table(budget),
                seconds=seconds,
            )
            _write_suite(suite, text, len(distinct(offered.missing)))
        elif suite is not None:
            output().show(f"{suite} was not written.")


def _refuse_namesakes(devices: Sequence[Device]) -> None:
    names = [device.name for device in devices]
    for name in names:
        if names.count(name) > 1:
            raise RecommendError(
                f"--device {name}: two devices have this name; rename the file of one and the name"
                " in it"
            )


def _data(dataset: str) -> Data:
    """Sizes of a data set: by its name, or by making it."""
    features, classes = features_and_classes(dataset)
    samples = (each.train_samples for each in describe_datasets() if each.name == dataset)
    return Data(dataset, features, classes, next(samples, None))


def _read(given: Sequence[Path] | None) -> Sources:
    """The runs that were named; else those that come with trainfit and those of this folder.

    Of two records of a training the last counts, so those of this folder come last.
    """
    packaged = [] if given else kept_runs()
    own = run_folders(given) if given else [f for top in RUN_FOLDERS for f in runs_below(top)]
    runs = {f"{NAMED}{folder.name}": read_records(folder) for folder in packaged}
    runs |= {str(folder): read_records(folder) for folder in own}
    return Sources(runs, len(packaged), torch_versions(packaged))


def _show_search(
    data: Data,
    sources: Sources,
    in_hand: Sequence[Trained],
    skipped: Sequence[Skipped],
    space: Mapping[str, Any],
) -> None:
    """What was read, and what was searched."""
    out = output()
    own = report.count(len(sources.runs) - sources.packaged, "run folder")
    devices = report.count(len(space["devices"]), "device")
    read = f"{data.name}: {len(in_hand) + len(skipped)} trained workloads"
    if sources.packaged:
        here = sum(any(not run.startswith(NAMED) for run in each.runs) for each in in_hand)
        torch = ", ".join(sources.torch)
        read += f": {len(in_hand) - here} come with trainfit (torch {torch})"
        if len(sources.runs) > sources.packaged:
            read += f", {here} in {own} here"
    else:
        read += f" in {own}"
    out.show(
        report.prose(read),
        *report.skipped_lines(skipped),
        report.prose(
            f"Searched: {report.count(len(space['algorithms']), 'algorithm')}; hidden layers:"
            f" {_span(space['depths'])}, units: {_span(space['widths'])}, batch:"
            f" {_span(space['batch_sizes'])}; {space['predictions']:,} predictions on {devices}"
        ),
    )
    out.fact("dataset", data.name)
    out.fact("searched", dict(space))
    out.fact("runs", list(sources.runs))
    out.fact("packaged", {"runs": sources.packaged, "torch": list(sources.torch)})
    rows = [report.skipped_row(each) for each in skipped]
    out.table("skipped", report.SKIPPED, rows, printed=())


def _span(values: Sequence[int]) -> str:
    """``8 to 512`` of ascending numbers."""
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _show_fronts(
    found: Sequence[Candidate],
    fronts: Mapping[str, Sequence[Candidate]],
    asked: report.Asked,
    dataset: str,
) -> None:
    out = output()
    in_hand = any(each.trained for each in found)
    if not in_hand:
        out.show(
            report.prose(
                f"No record says how well anything trains {dataset}; accuracy is read from records"
                " only (--from RUN)."
            )
        )
    elif any(fronts.values()):
        out.show(
            report.prose(
                "Trained, fitting, and nothing that fits is at least as accurate for less:"
            )
        )
    answers = [
        {
            "device": name,
            "answers": len(chosen),
            "reason": None if chosen else report.why_none(report.of(name, found), asked),
        }
        for name, chosen in fronts.items()
    ]
    out.table("devices", report.ANSWERS, answers, printed=())
    rows = (report.row(each) for chosen in fronts.values() for each in chosen)
    others = (
        report.row(each)
        for name, chosen in fronts.items()
        for each in (
            runners_up(report.of(name, found), chosen, asked.min_accuracy) if chosen else ()
        )
    )
    out.table("runners_up", report.COLUMNS, others, printed=())
    printed = report.by_device(fronts, found, asked) if in_hand else ()
    out.table("front", report.COLUMNS, rows, printed=printed)
    out.table("candidates", report.COLUMNS, map(report.row, found), printed=())


def _show_offer(
    offered: Offer, rows: Sequence[Mapping[str, Any]], places: int, devices: int
) -> None:
    out = output()
    printed = report.offered_parts(offered, rows, places, devices)
    out.table("untrained", report.OFFERED, rows, printed=printed)
    done = len(offered.done)
    left = {"done": done, "left": len(rows), "nothing_fits": places - done - len(rows)}
    out.fact("combinations", {"all": places} | left)
    out.table("done", report.COLUMNS, map(report.row, offered.done), printed=())


def _write_suite(suite: Path, text: str, count: int) -> None:
    try:
        if suite.exists():
            raise _exists(suite)
        write_files(suite.parent, {suite.name: text.encode()})
    except OSError as error:
        raise RecommendError(f"--suite {suite}: cannot be written: {error.strerror}") from error
    output().show(f"{count} workloads that fit and have no record: trainfit run {suite}")
    output().fact("suite", str(suite))


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
