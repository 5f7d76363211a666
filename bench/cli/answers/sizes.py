"""The largest size of several algorithms on several devices: one table."""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import CountedLine
from trainfit.bench.cli.reports import sizes as report
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.largest import Dimension, LargestError, largest
from trainfit.bench.sizing.measured_largest import MeasuredLargest, measured_largest
from trainfit.hardware_profiles import Device


def answer(asked: Asked, workloads: Sequence[Workload], dimension: Dimension) -> None:
    """Show the answer and end the command."""
    pairs = [(device, workload) for device in asked.devices.values() for workload in workloads]
    rows, found = [], []
    with CountedLine(f"looking for the largest {dimension}", len(pairs)) as line:
        for device, workload in pairs:
            answered = _look(asked, device, workload, dimension)
            rows.append(report.row(device, workload, answered))
            found.append(answered)
            line.advance()
    out = output()
    out.table("largest", report.columns(dimension), rows)
    out.show("", *report.notes(rows, dimension))
    known = [each for each in found if isinstance(each, MeasuredLargest)]
    asked.end(
        sure=any(each.size is not None for each in known),
        refuted=any(each.refuted for each in known),
    )


def _look(
    asked: Asked, device: Device, workload: Workload, dimension: Dimension
) -> MeasuredLargest | str:
    """The answer for one pair, or why there is none."""
    try:
        predicted = largest(workload, device, dimension, asked.budgets)
    except LargestError as error:
        return str(error)
    if asked.measure is None:
        return MeasuredLargest(predicted, ())
    return measured_largest(predicted, workload, device, asked.budgets, asked.measure)
