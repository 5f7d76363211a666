"""``trainfit fit``: one device, algorithm and model; and the inverse question."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from trainfit.bench.cli.options import (
    BudgetOption,
    asked_budgets,
    name_algorithms,
    refuse_contradictions,
)
from trainfit.bench.cli.output import drawn, output
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports import fit as report
from trainfit.bench.cli.reports import largest as largest_report
from trainfit.bench.errors import BenchError
from trainfit.bench.processes.child import Ending, Message
from trainfit.bench.processes.isolation import call
from trainfit.bench.records.schema import Memory, Workload
from trainfit.bench.sizing import largest as sizing
from trainfit.bench.sizing.closed_form import ClosedForm, closed_form
from trainfit.bench.sizing.suggestions import remedies
from trainfit.bench.suite.workload_text import parse_options
from trainfit.bench.verdicts.judge import amounts, judge_all
from trainfit.bench.verdicts.memory import Verdict, worst
from trainfit.hardware_profiles import Budgets, Device, load_device

MEASURE_SECONDS = 300.0
"""A measurement that confirms the answer may take this long."""

MEMORY_SHARE = 0.5
"""Of this machine's free memory, which a confirming measurement may need."""

MEASURED = ("static_bytes", "storage_bytes", "peak_dynamic_bytes", "peak_phase", "deterministic")
"""Of the whole measurement; its stages stand beside them."""


class FitError(BenchError):
    """The question cannot be answered as it was asked."""


def fit(
    device: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="Device to fit on, e.g. stm32f746."),
    ],
    algorithm: Annotated[
        str, typer.Option(metavar="NAME|MODULE:CLASS", help="Training algorithm, e.g. backprop.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Full name of the model, e.g. mlp-64-128-128-10.")
    ],
    *,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 32,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            help="Option of the algorithm, e.g. optimizer=adam; repeatable.",
        ),
    ] = None,
    budget: BudgetOption = None,
    largest: Annotated[
        str | None,
        typer.Option(
            "--max",
            metavar="batch|width|depth",
            help="Dimension whose largest fitting size is found.",
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(help="Confirmation by measuring one step, in a process of its own."),
    ] = True,
) -> None:
    """Say if an algorithm fits on a device, or what size does.

    Shows every budget of the device, which tensors own the peak, and what would make it fit. The
    answer comes from the closed form and is confirmed by measurement. Time and energy are modelled
    for the device, as intervals, and judged where a budget limits them. With --max, the largest
    batch, width or depth that fits.
    """
    if largest is not None and largest not in list(sizing.Dimension):
        raise FitError(f"--max {largest}: write {' or '.join(sizing.Dimension)}")
    name_algorithms([algorithm])
    found = load_device(device)
    asked = asked_budgets(budget)
    refuse_contradictions(found, asked)
    workload = Workload(
        algorithm=algorithm,
        options=parse_options(option or [], algorithm=algorithm),
        model=model,
        dataset="none",
        batch_size=batch_size,
    )
    if largest is not None:
        _largest(workload, found, asked, largest, measure=measure)
        return
    form = closed_form(workload)
    verdicts = _answer(form, found, asked)
    if measure:
        _confirm(form)
    if worst(verdicts).status.value in {"exceeds", "unknown"}:
        _remedies(workload, found, asked, verdicts)


def _answer(form: ClosedForm, device: Device, asked: Budgets) -> list[Verdict]:
    needs = form.demand(device)
    verdicts = judge_all(needs, device, asked)
    rows = report.budget_rows(verdicts, *amounts(needs, device, asked))
    overall = worst(verdicts)
    out = output()
    head = Text(f"{_named(form.workload)} on {device.name} ({device.title}): ")
    head.append(str(overall.status), style="bold")
    lines: list[RenderableType] = [head, "", report.budgets_drawn(rows)]
    lines += [
        f"{report.NAMES[verdict.budget]}: {verdict.reason}"
        for verdict in verdicts
        if verdict.status != "fits"
    ]
    judged = {verdict.budget for verdict in verdicts}
    lines += ["", *report.unlimited(needs.modelled, judged), *report.owners_drawn(form)]
    out.fact("workload", form.workload.model_dump(mode="json"))
    out.fact("device", device.name)
    out.fact("status", str(overall.status))
    out.table("budgets", report.BUDGET_COLUMNS, rows, printed=lines)
    out.table("tensors", report.OWNER_COLUMNS, report.owners(form), printed=())
    out.fact("modelled", needs.modelled.model_dump(mode="json"))
    return verdicts


def _named(workload: Workload) -> str:
    return workload.label.replace(f" {workload.dataset} ", " ")


def _confirm(form: ClosedForm) -> None:
    out = output()
    with SpinnerLine("measuring a step"):
        result = _measured(form)
    if isinstance(result, str):
        out.show(f"not measured: {result}")
        out.fact("measured", None)
        out.fact("not_measured_because", result)
    else:
        out.show(report.confirmation(form, result))
        totals = {name: getattr(result, name) for name in MEASURED}
        out.fact("measured", {**totals, **result.model_dump(mode="json")})


def _measured(form: ClosedForm) -> Memory | str:
    """A measurement of the same step, or why there is none."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # a real algorithm holds what is in storage on a device, too
    needed = form.ram_bytes + (form.storage_bytes or 0)
    if needed > MEMORY_SHARE * free:
        return f"the step needs {needed:,} B, and this machine has {free:,} B free"
    parts: Message = {}
    with tempfile.TemporaryDirectory() as scratch:
        outcome = call(
            "trainfit.bench.run.worker:confirm",
            {"workload": form.workload.model_dump(mode="json")},
            log=Path(scratch) / "log",
            timeout_seconds=MEASURE_SECONDS,
            on_message=parts.update,
        )
    if outcome.ending is not Ending.RETURNED:
        return f"{outcome.type}: {outcome.message}"
    return Memory.model_validate(parts["memory"])


def _remedies(
    workload: Workload, device: Device, asked: Budgets, verdicts: Sequence[Verdict]
) -> None:
    out = output()
    rows = report.remedy_rows(remedies(workload, device, asked))
    out.table("remedies", report.REMEDY_COLUMNS, rows, printed=())
    if not rows:
        out.show("", *report.no_remedy(verdicts))
        return
    out.show("", "What would make it fit (by closed form; accuracy and time change too):")
    out.show(drawn(report.REMEDY_COLUMNS, rows[: report.MOST_REMEDIES]))
    more = len(rows) - report.MOST_REMEDIES
    if more > 0:
        out.show(f"and {more} more (--json or --csv lists all)")


def _largest(
    workload: Workload, device: Device, asked: Budgets, what: str, *, measure: bool
) -> None:
    found = sizing.largest(workload, device, sizing.Dimension(what), asked)
    out = output()
    out.show(*largest_report.largest_lines(found, device))
    out.fact("largest", largest_report.largest_fact(found))
    out.table("sizes", largest_report.PROBE_COLUMNS, largest_report.probe_rows(found), printed=())
    if found.size is not None and measure:
        _confirm(closed_form(found.workload))
