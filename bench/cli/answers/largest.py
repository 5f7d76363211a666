"""The largest batch, width or depth of an algorithm that fits on a device."""

from __future__ import annotations

from trainfit.bench.cli import output as printing
from trainfit.bench.cli.answers.one import measurement, remedies
from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import SpinnerLine
from trainfit.bench.cli.reports import largest as report
from trainfit.bench.cli.reports.pasting import columns_of
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing import largest as sizing
from trainfit.bench.sizing.measured_largest import MeasuredLargest, measured_largest
from trainfit.bench.sizing.measuring import confirmed
from trainfit.bench.sizing.other_options import Reach, other_options
from trainfit.bench.sizing.predicted_workload import predicted_workload


def answer(asked: Asked, workload: Workload, dimension: sizing.Dimension) -> None:
    """Show the answer and end the command."""
    ((text, device),) = asked.devices.items()
    with SpinnerLine(f"looking for the largest {dimension}") as line:
        predicted = sizing.largest(workload, device, dimension, asked.budgets)
        found = MeasuredLargest(predicted, ())
        if asked.measure is not None and predicted.size is not None:
            line.show(f"measuring {dimension} {predicted.size:,}")
            found = measured_largest(predicted, workload, device, asked.budgets, asked.measure)
        reached: list[Reach] | None = []
        if not found.refuted:  # otherwise nothing can be said by prediction
            line.show("trying other options")
            reached = other_options(predicted, workload, device, asked.budgets)
    out = output()
    out.show(*report.largest_lines(predicted, device, found))
    out.fact("largest", report.largest_fact(predicted) | report.measured_fact(found))
    out.table("sizes", report.PROBE_COLUMNS, report.probe_rows(predicted), printed=())
    if found.steps:
        out.table("measured_sizes", report.STEP_COLUMNS, report.step_rows(found), printed=())
    _measured(asked, found)

    def command(each: Workload) -> str:
        return asked.command(text, each)

    if reached is None:
        out.show(report.NOT_TRIED)
        out.fact("other_options_not_tried_because", report.NOT_TRIED)
        reached = []
    rows = report.reach_rows(reached, command)
    out.table("other_options", report.REACH_COLUMNS, rows, printed=())
    out.show(*report.reach_lines(predicted, reached, command, columns_of(printing.stdout())))
    if predicted.size is None and not reached:
        verdicts = confirmed(predicted_workload(workload), None).verdicts(device, asked.budgets)
        remedies(asked, text, workload, verdicts)
    asked.end(sure=found.size is not None, refuted=found.refuted)


def _measured(asked: Asked, found: MeasuredLargest) -> None:
    """What the measurement says of the answer, or why there is none."""
    if asked.measure is None or found.predicted.size is None:
        return
    out = output()
    if found.steps:
        measurement((found.answer or found.steps[0]).confirmed)
    else:
        out.show(f"not measured: {found.reason}; so this is a prediction")
        out.fact("measured", None)
        out.fact("not_measured_because", found.reason)
