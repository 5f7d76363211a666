"""A training step of one's own on several devices."""

from __future__ import annotations

from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports import fit as single
from trainfit.bench.cli.reports import own_step as report
from trainfit.bench.records.schema import Evidence
from trainfit.bench.sizing.own_step import OwnStep, measure_own_step, predict_own_step
from trainfit.bench.sizing.own_step_arena import with_arena
from trainfit.bench.verdicts.judge import FITTING, amounts
from trainfit.bench.verdicts.memory import Status, worst


def answer(asked: Asked, target: str) -> None:
    """Measure or predict a step once, judge it for every device, and end the command."""
    measures = asked.measure is not None
    with SpinnerLine(f"{'measuring' if measures else 'tracing'} {target}"):
        step = _step(target, measures=measures, plans=asked.plans)
    output().fact("step", target)
    statuses = show(asked, target, step)
    asked.end(
        sure=any(status in FITTING for status in statuses),
        refuted=measures and Status.EXCEEDS in statuses,
    )


def _step(target: str, *, measures: bool, plans: bool) -> OwnStep:
    """The step, with a planned arena where a device has one."""
    if not measures:
        return predict_own_step(target, Path.cwd(), plan=plans)
    step = measure_own_step(target, Path.cwd())
    return with_arena(step, Path.cwd()) if plans else step


def show(asked: Asked, name: str, step: OwnStep) -> list[Status]:
    """Judge a step for every device and show it; how it is judged on each."""
    out = output()
    rows, printed = [], list[RenderableType]()
    statuses = []
    for device in asked.devices.values():
        verdicts = step.verdicts(device, asked.budgets)
        overall = worst(verdicts)
        statuses.append(overall.status)
        needs = step.demand(device)
        own = single.budget_rows(verdicts, *amounts(needs, device, asked.budgets))
        head = Text(f"{name} on {device.name} ({device.title}): ")
        head.append(str(overall.status), style="bold")
        reasons = [
            f"{single.NAMES[verdict.budget]}: {verdict.reason}"
            for verdict in verdicts
            if verdict.status != "fits"
        ]
        whose = single.ram_line(needs, device)
        printed += [head, single.budgets_drawn(own), whose, *reasons, ""]
        rows += own
    out.fact("status", str(min(statuses, key=lambda status: status.severity)))
    names = [device.name for device in asked.devices.values()]
    judged = [
        {"device": where, "status": str(status), **single.ram_fact(step.demand(device), device)}
        for where, device, status in zip(names, asked.devices.values(), statuses, strict=True)
    ]
    out.table("devices", report.DEVICE_COLUMNS, judged, printed=())
    out.table("budgets", report.BUDGET_COLUMNS, rows, printed=printed)
    out.fact("predicted" if step.evidence == Evidence.TRACED else "measured", report.fact(step))
    out.table("phases", report.PHASE_COLUMNS, report.phase_rows(step))
    out.table("tensors", report.TENSOR_COLUMNS, report.tensor_rows(step.tensors), printed=())
    out.table("left", report.TENSOR_COLUMNS, report.tensor_rows(step.left), printed=())
    out.show("", *report.lines(step))
    return statuses
