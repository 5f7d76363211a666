"""The command that compares two workloads: bytes by closed form, or time, measured side by side.

Time is compared as a ratio within one run; seconds of one machine say little about another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainfit.bench.cli.output import Column, output
from trainfit.bench.cli.progress_line import SpinnerLine
from trainfit.bench.suite.file import LARGEST_SEED
from trainfit.bench.suite.workload_text import FORM, parse_workload

if TYPE_CHECKING:
    from trainfit.bench.latency_comparison.paired import Side
    from trainfit.bench.records.schema import StageOperations, Workload

NO_DATA = "none"
"""Stands for the data set where none is named and none is needed."""

_WORKLOAD = f'As in "{FORM}"; what the options below give may be left out.'


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(compare)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_WORKLOAD, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Likewise.", show_default=False)],
    *,
    latency: Annotated[
        bool,
        typer.Option("--latency", help="Compare the time of a step, measured in turns."),
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="For a workload that names none, mlp-64-128-128-10.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="For a workload that names none; only --latency needs one."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="For a workload that names none.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="For operators.")] = 1,
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="TRAINFIT_DATA_ROOT", help="The folder that data sets are read from."),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, help="Of timed blocks; then the interval is what it is.")
    ] = 30.0,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of weights and batches.")] = 0,
) -> None:
    """Compare two workloads: the bytes of a step, or with --latency its time.

    Bytes are those of the closed form, at the stage that needs the most; nothing runs. For time,
    both run here and take turns, block by block; the ratio comes with an interval. An algorithm
    that trains layer by layer is timed at its first stage.
    """
    if str(Path.cwd()) not in sys.path:  # where one's own algorithm lies
        sys.path.append(str(Path.cwd()))
    first, second = (
        parse_workload(
            text,
            model=model,
            dataset=dataset or (None if latency else NO_DATA),
            batch_size=batch_size,
            seed=seed,
        )
        for text in (a, b)
    )
    if latency:
        _latency(first, second, threads=threads, data_root=data_root, seconds=max_seconds)
    else:
        _bytes(first, second, data_root)


# ---- bytes ---------------------------------------------------------------------------------------


def _bytes(a: Workload, b: Workload, data_root: Path | None) -> None:
    from trainfit.bench.sizing.closed_form import closed_form  # noqa: PLC0415  (imports torch)

    forms = [closed_form(_completed(workload, data_root)) for workload in (a, b)]
    plans = [form.plan for form in forms]
    macs = [sum(form.operations[form.worst].macs.values()) for form in forms]
    figures = {
        "static bytes": [plan.static_bytes for plan in plans],
        "peak dynamic bytes": [plan.closed_form_bytes for plan in plans],
        "both together": [plan.static_bytes + plan.closed_form_bytes for plan in plans],
        "lower bound of dynamic bytes": [plan.lower_bound_bytes for plan in plans],
        "multiply-accumulates": macs,
    }
    columns = (
        Column("figure", "closed form of a step"),
        Column("a", "A", right=True),
        Column("b", "B", right=True),
        Column("ratio", "B/A", text=_ratio, right=True),
    )
    rows = [
        {"figure": figure, "a": own, "b": other, "ratio": other / own if own else None}
        for figure, (own, other) in figures.items()
    ]
    out = output()
    out.table("bytes", columns, rows)
    for letter, form in zip("AB", forms, strict=True):
        stages = len(form.stages)
        at = "" if stages == 1 else f", stage {form.stages[form.worst]}, the worst of {stages}"
        out.fact(letter.lower(), _name(form.workload) + at)
        out.show(f"{letter}: {_name(form.workload)}{at}")
    _arithmetic(*(form.operations[form.worst : form.worst + 1] for form in forms))


def _arithmetic(a: Sequence[StageOperations], b: Sequence[StageOperations]) -> None:
    """What number formats do to the energy of the arithmetic, as a ratio and no more."""
    from trainfit.bench.costs import horowitz as cost_horowitz  # noqa: PLC0415

    own, other = cost_horowitz.arithmetic(a), cost_horowitz.arithmetic(b)
    if not own[0]:
        return
    low, high = cost_horowitz.ratio(other, own)
    out = output()
    out.fact("arithmetic_energy_ratio", {"low": low, "high": high, "source": cost_horowitz.SOURCE})
    ratio = cost_horowitz.ratio_text(other, own)
    out.show(f"energy of the arithmetic alone, B/A: {ratio} ({cost_horowitz.SOURCE})")


def _completed(workload: Workload, data_root: Path | None) -> Workload:
    """The workload with its model's full name; only a short one needs the data set."""
    from trainfit.algorithms import complete_name, get_model  # noqa: PLC0415
    from trainfit.algorithms.errors import ConfigurationError  # noqa: PLC0415
    from trainfit.bench.training.train import load  # noqa: PLC0415

    try:
        get_model(workload.model)
    except ConfigurationError:
        if workload.dataset == NO_DATA:
            raise
        plain = workload.model_copy(update={"standardise": False})
        data = load(plain, str(data_root) if data_root else None)
        name = complete_name(workload.model, data.shape, data.classes)
        return workload.model_copy(update={"model": name})
    return workload


def _name(workload: Workload) -> str:
    return workload.label.replace(f" {NO_DATA} ", " ")


def _ratio(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"


# ---- time ----------------------------------------------------------------------------------------


def _latency(
    a: Workload, b: Workload, *, threads: int, data_root: Path | None, seconds: float
) -> None:
    from trainfit.bench.cli.reports.compare import notes, sentence  # noqa: PLC0415  (imports torch)
    from trainfit.bench.latency_comparison.paired import Limits, compare_latency  # noqa: PLC0415

    limits = Limits(most_seconds=seconds)
    with SpinnerLine() as line:
        found = compare_latency(
            a, b, threads=threads, data_root=data_root, limits=limits, progress=line.show
        )
    columns = (
        Column("side", ""),
        Column("median_seconds", "step", text=_milliseconds, right=True),
        Column("low_seconds", "from", text=_milliseconds, right=True),
        Column("high_seconds", "to", text=_milliseconds, right=True),
        Column("stage", "stage"),
        Column("stages", "of", right=True),
        Column("steps_per_block", "steps per block", right=True),
        Column("workload", "workload"),
    )
    out = output()
    out.table("latency", columns, [_row("A", found.a), _row("B", found.b)])
    for name in ("ratio", "interval", "confidence", "blocks", "stopped", "threads", "onednn"):
        out.fact(name, getattr(found, name))
    out.fact("sentence", sentence(found))
    out.show("", sentence(found), *notes(found))


def _row(letter: str, side: Side) -> dict[str, Any]:
    low, high = side.interval
    return {
        "side": letter,
        "median_seconds": side.median,
        "low_seconds": low,
        "high_seconds": high,
        "stage": side.stage,
        "stages": side.stages,
        "steps_per_block": side.steps_per_block,
        "workload": side.workload.label,
    }


def _milliseconds(seconds: Any) -> str:
    return f"{1e3 * seconds:.4g} ms"
