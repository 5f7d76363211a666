"""``trainfit tune``: choose the rate of every rule by held-out samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainfit._text import MISSING
from trainfit._whole_files import write_files
from trainfit.bench.cli.output import Row, output, unseen
from trainfit.bench.suite.tuned import Tuned, TuneError, suite_text, tuned

COLUMNS = unseen("algorithm model dataset rate validation_accuracy at_the_edge rates accuracies")


def tune(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Run of a suite with rates and held_out."),
    ],
    *,
    suite: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a suite that trains with the chosen rates, e.g. tuned.toml.",
        ),
    ] = None,
    passes: Annotated[
        int,
        typer.Option(
            min=1, help="Passes of every training in the suite, all stages of a rule together."
        ),
    ] = 12,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Seeds of every training in the suite, from 0.")
    ] = 3,
    train_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Training samples in the suite.", show_default="all"),
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes between the points of a curve.", show_default="at the end"
        ),
    ] = None,
    measure: Annotated[
        str, typer.Option(metavar="NAMES", help="What the suite measures, comma-separated.")
    ] = "memory,accuracy",
) -> None:
    """Choose the rate of every rule by held-out samples.

    Nothing is trained. Of the rates that a run tried, each rule gets the one with the best accuracy
    on the samples that were held out; the test half was not looked at. The suite records what was
    searched, so that the claims can tell a fair comparison.
    """
    found = [each for run in runs for each in tuned(run)]
    out = output()
    for each in found:
        out.show(_line(each))
    out.table("rates", COLUMNS, [_row(each) for each in found], printed=())
    if suite is None:
        return
    if suite.suffix != ".toml":
        raise TuneError(f"--suite {suite}: write a name that ends in .toml")
    if suite.exists():
        raise TuneError(f"--suite {suite}: exists already, nothing was overwritten")
    text = suite_text(
        found,
        name=suite.stem,
        description=f"Rates chosen on held-out samples, {passes} passes",
        passes=passes,
        seeds=seeds,
        samples=train_samples,
        evaluate_every=evaluate_every,
        measure=[each.strip() for each in measure.split(",")],
    )
    try:
        write_files(suite.parent, {suite.name: text.encode()})
    except OSError as error:
        raise TuneError(f"--suite {suite}: cannot be written: {error.strerror}") from error
    out.show(f"trained with these rates by: trainfit run {suite}")
    out.fact("suite", str(suite))


def _line(each: Tuned) -> str:
    tried = ", ".join(
        f"{rate:g}: {MISSING if mean is None else f'{mean:.2%}'}"
        for rate, mean in each.accuracies.items()
    )
    edge = " (at the edge of the grid: try more)" if each.at_the_edge else ""
    workload = each.workload
    return f"{workload.label}{edge}  [{tried}]"


def _row(each: Tuned) -> Row:
    return {
        "algorithm": each.workload.algorithm,
        "model": each.workload.model,
        "dataset": each.workload.dataset,
        "rate": each.rate,
        "validation_accuracy": each.accuracies[each.rate],
        "at_the_edge": each.at_the_edge,
        "rates": list(each.accuracies),
        "accuracies": list(each.accuracies.values()),
    }
