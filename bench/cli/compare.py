"""``trainfit compare``: two workloads, their bytes by prediction or their time side by side.

Time is compared as a ratio within one run; seconds of one machine say little about another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from trainfit._text import milliseconds, ratio
from trainfit.algorithms import complete_name, get_model
from trainfit.algorithms.errors import ConfigurationError
from trainfit.bench.cli.options import DataRootOption, name_algorithms
from trainfit.bench.cli.output import Column, output, plain, unseen
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports.compare import notes, sentence
from trainfit.bench.costs import horowitz as cost_horowitz
from trainfit.bench.latency_comparison import paired
from trainfit.bench.latency_comparison.turns import BlockLimits
from trainfit.bench.records.schema import StageOperations, Workload
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.suite.file import LARGEST_SEED
from trainfit.bench.suite.workload_text import FORM, parse_workload
from trainfit.bench.training.train import load

NO_DATA = "none"
"""Stands for the data set where none is named and none is needed."""

_WORKLOAD = f'First workload, e.g. "{FORM}"; what the options below give may be left out.'


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_WORKLOAD)],
    b: Annotated[
        str,
        typer.Argument(metavar="B", help="Second workload, written likewise."),
    ],
    *,
    latency: Annotated[
        bool,
        typer.Option("--latency", help="Time of a step instead of its bytes, measured in turns."),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Model for workloads that do not name one, e.g. mlp-64-128-128-10.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Data set for workloads that do not name one, e.g. digits; needed by --latency.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Samples per step for workloads that do not name them, e.g. 32."),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="Threads used inside operators.")
    ] = 1,
    data_root: DataRootOption = None,
    max_seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds of blocks to stop after, even if the interval is still wide.",
        ),
    ] = 30.0,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of weights and batches.")
    ] = 0,
) -> None:
    """Compare two workloads: bytes of a step, or its time.

    Bytes are those of the prediction, at the stage that needs the most; nothing runs. For time,
    both run here and take turns, block by block; the ratio comes with an interval, and beside it
    that of CPU time. Where a busy machine makes the two contradict each other, the ratio of time is
    unknown. An algorithm that trains layer by layer is timed at its first stage.
    """
    name_algorithms([a, b])
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
    forms = [predicted_workload(_completed(workload, data_root)) for workload in (a, b)]
    plans = [form.plan for form in forms]
    macs = [_products(form.operations[form.worst]) for form in forms]
    figures: dict[str, Sequence[int | None]] = {
        "static bytes": [plan.static_bytes for plan in plans],
        "peak dynamic bytes": [plan.peak_bytes for plan in plans],
        "both together": [plan.ram_bytes for plan in plans],
        "dynamic bytes as C would need them": [plan.device_bytes for plan in plans],
        "planned arena": [plan.arena_bytes for plan in plans],
        "static bytes + arena (worst stage)": [form.planned.ram_bytes for form in forms],
        "multiply-accumulates": macs,
    }
    columns = (
        Column("figure", "prediction of a step"),
        Column("a", "A", right=True),
        Column("b", "B", right=True),
        Column("ratio", "B/A", text=ratio, right=True),
    )
    rows = [
        {"figure": figure, "a": own, "b": other, "ratio": _ratio(own, other)}
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


def _products(stage: StageOperations) -> int | None:
    """Multiply-accumulates of a step; None where the algorithm states no operations at all."""
    return sum(stage.macs.values()) if stage.is_counted else None


def _ratio(own: int | None, other: int | None) -> float | None:
    return other / own if own and other is not None else None


def _arithmetic(a: Sequence[StageOperations], b: Sequence[StageOperations]) -> None:
    """What number formats do to the energy of the arithmetic, as a ratio and no more."""
    out = output()
    if reason := cost_horowitz.not_comparable(a, b):
        out.fact("arithmetic_energy_ratio", None)
        out.fact("no_arithmetic_energy_ratio_because", reason)
        out.show(f"energy of the arithmetic alone, B/A: unknown ({reason})")
        return
    own, other = cost_horowitz.arithmetic(a), cost_horowitz.arithmetic(b)
    low, high = cost_horowitz.ratio(other, own)
    out.fact("arithmetic_energy_ratio", {"low": low, "high": high, "source": cost_horowitz.SOURCE})
    text = cost_horowitz.ratio_text(other, own)
    out.show(f"energy of the arithmetic alone, B/A: {text} ({cost_horowitz.SOURCE})")


def _completed(workload: Workload, data_root: Path | None) -> Workload:
    """The workload with its model's full name; only a short one needs the data set."""
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


# ---- time ----------------------------------------------------------------------------------------


def _latency(
    a: Workload, b: Workload, *, threads: int, data_root: Path | None, seconds: float
) -> None:
    limits = BlockLimits(most_seconds=seconds)
    with SpinnerLine() as line:
        found = paired.compare_latency(
            a, b, threads=threads, data_root=data_root, limits=limits, progress=line.show
        )
    # Titles of one word each: the head stays one line, however wide the numbers are.
    columns = (
        Column("side", "side"),
        Column("median_seconds", "step", text=milliseconds, right=True),
        Column("low_seconds", "from", text=milliseconds, right=True),
        Column("high_seconds", "to", text=milliseconds, right=True),
        Column("cpu_seconds", "CPU", text=milliseconds, right=True),
        Column("waited", "waited", text=_percent, right=True),
        Column("stage", "stage"),
        Column("stages", "of", right=True),
        Column("steps_per_block", "steps/block", right=True),
        Column("workload", "workload"),
        *unseen("involuntary_switches_per_block voluntary_switches_per_block"),
    )
    out = output()
    rows = [_row(letter, side, found.doubt) for letter, side in (("A", found.a), ("B", found.b))]
    out.table("latency", columns, rows)
    for name in ("ratio", "interval", "confidence", "blocks", "stopped", "threads", "onednn"):
        out.fact(name, getattr(found, name))
    out.fact("cpu_ratio", found.cpu and found.cpu.ratio)
    out.fact("cpu_interval", found.cpu and found.cpu.interval)
    out.fact("no_ratio_because", found.doubt or None)
    out.fact("sentence", sentence(found))
    out.fact("notes", notes(found))
    out.show("", sentence(found), *notes(found))


def _row(letter: str, side: paired.Side, doubt: str) -> dict[str, Any]:
    low, high = side.interval
    return {
        "side": letter,
        "median_seconds": None if doubt else side.median,
        "low_seconds": None if doubt else low,
        "high_seconds": None if doubt else high,
        "cpu_seconds": side.use.cpu_seconds,
        "waited": side.use.waited,
        "stage": side.stage,
        "stages": side.stages,
        "steps_per_block": side.steps_per_block,
        "involuntary_switches_per_block": side.use.involuntary,
        "voluntary_switches_per_block": side.use.voluntary,
        "workload": side.workload.label,
    }


def _percent(share: float | None) -> str:
    return plain(None) if share is None else f"{100 * share:.0f} %"
