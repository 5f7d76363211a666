"""One algorithm on one device: every budget, what owns the peak, and what would make it fit."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from trainfit.bench.cli import output as printing
from trainfit.bench.cli.answers.question import Asked, named
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports import fit as report
from trainfit.bench.cli.reports.pasting import columns_of, pasted
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Dimension
from trainfit.bench.sizing.measuring import Confirmed, confirmed
from trainfit.bench.sizing.predicted_workload import predicted_workload
from trainfit.bench.sizing.suggestions import search
from trainfit.bench.verdicts.judge import FITTING, amounts, judge_all
from trainfit.bench.verdicts.memory import Verdict, worst

MEASURED = (
    "static_bytes",
    "storage_bytes",
    "peak_dynamic_bytes",
    "arena_bytes",
    "peak_phase",
    "deterministic",
)
"""Of the whole measurement; its stages stand beside them."""


def answer(asked: Asked, workload: Workload) -> None:
    """Show the answer and end the command."""
    ((device_text, device),) = asked.devices.items()
    form = predicted_workload(workload)
    what = "measuring" if asked.measure else "working out"
    with SpinnerLine(f"{what} a step of {named(workload)}"):
        found = confirmed(form, asked.measure)
    verdicts = found.verdicts(device, asked.budgets)
    refuted = found.refutes(device, asked.budgets)
    _show(asked, found, verdicts, refuted=refuted)
    status = worst(verdicts).status
    if status not in FITTING:
        remedies(asked, device_text, workload, verdicts, refuted=refuted)
    asked.end(sure=status in FITTING, refuted=refuted)


def _show(asked: Asked, found: Confirmed, verdicts: Sequence[Verdict], *, refuted: bool) -> None:
    (device,) = asked.devices.values()
    form, needs = found.form, found.demand(device)
    rows = report.budget_rows(verdicts, *amounts(needs, device, asked.budgets))
    overall = worst(verdicts)
    out = output()
    head = Text(f"{named(form.workload)} on {device.name} ({device.title}): ")
    head.append(str(overall.status), style="bold")
    lines: list[RenderableType] = [head]
    predicted = worst(judge_all(form.demand(device), device, asked.budgets))
    if found.memory is not None and predicted.status is not overall.status:
        lines += [Text(line, style="bold red") for line in report.refutation(found, device)]
    lines += ["", report.budgets_drawn(rows), report.ram_line(needs, device)]
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
    out.fact("evidence", str(needs.evidence))
    ram = {"ram_bytes": form.ram_on(device), "torch_ram_bytes": form.ram_bytes}
    out.fact("ram", report.ram_fact(needs, device))
    out.fact("predicted", {"status": str(predicted.status), **ram})
    out.fact("refuted", refuted)
    out.table("budgets", report.BUDGET_COLUMNS, rows, printed=lines)
    out.table("tensors", report.OWNER_COLUMNS, report.owners(form), printed=())
    out.fact("modelled", needs.modelled.model_dump(mode="json"))
    if asked.measure is not None:
        measurement(found)


def measurement(found: Confirmed) -> None:
    """Show what a measurement says, or why there is none."""
    out = output()
    if found.memory is None:
        out.show(f"not measured: {found.reason}; so this is a prediction")
        out.fact("measured", None)
        out.fact("not_measured_because", found.reason)
        return
    out.show(report.confirmation(found.form, found.memory))
    totals = {name: getattr(found.memory, name) for name in MEASURED}
    out.fact("measured", {**totals, **found.memory.model_dump(mode="json")})


def remedies(
    asked: Asked,
    device_text: str,
    workload: Workload,
    verdicts: Sequence[Verdict],
    *,
    refuted: bool = False,
) -> None:
    """Search what would fit, and show a handful of it.

    Where the prediction of the algorithm is refuted, only others are searched.
    """
    out = output()
    device = asked.devices[device_text]
    with SpinnerLine("searching what would fit"):
        searched = search(workload, device, asked.budgets, others_only=refuted)

    def command(each: Workload) -> str:
        return asked.command(device_text, each)

    columns = columns_of(printing.stdout())
    rows = report.remedy_rows(searched.remedies, command)
    out.table("remedies", report.REMEDY_COLUMNS, rows, printed=())
    for name in ("combinations", "algorithms", "batch_sizes"):
        out.fact(f"searched_{name}", getattr(searched, name))
    if rows:
        out.show(
            "",
            *report.remedies_drawn(
                searched,
                command,
                width=printing.stdout().width,
                columns=columns,
                room=report.remedy_rows_left(len(verdicts)),
            ),
        )
    else:
        out.show("", *report.no_remedy(verdicts, searched))
    if refuted:
        batches = asked.command(device_text, workload, Dimension.BATCH)
        out.show("A smaller batch is found by measuring:", *pasted(batches, columns))
