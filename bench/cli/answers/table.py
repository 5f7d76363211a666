"""Several algorithms on several devices: one table, the Pareto front of each device marked."""

from __future__ import annotations

from collections.abc import Sequence

from trainfit.bench.cli.answers.question import Asked
from trainfit.bench.cli.output import output
from trainfit.bench.cli.progress import CountedLine
from trainfit.bench.cli.reports import fit as single
from trainfit.bench.cli.reports import table as report
from trainfit.bench.records.schema import Workload
from trainfit.bench.sizing.measuring import Confirmed, confirmed
from trainfit.bench.sizing.pareto import Combination, axis_of, combine, front
from trainfit.bench.sizing.predicted_workload import predicted_workload


def answer(asked: Asked, workloads: Sequence[Workload]) -> None:
    """Show the answer and end the command."""
    found = _confirmed(asked, workloads)
    groups = [
        [combine(each, device, asked.budgets) for each in found]
        for device in asked.devices.values()
    ]
    rows = []
    notes: list[str] = []
    for group in groups:
        axis = axis_of(group)
        best = front(group, axis)
        rows += [report.row(each, axis, on_front=each in best) for each in group]
        notes += report.notes(group)
    out = output()
    out.table("combinations", report.columns(rows), rows)
    legend = report.legend([axis_of(group) for group in groups])
    out.show("", *report.whose_ram(rows), *legend, *notes)
    for refuted in _refuted(groups):
        out.show(*single.refutation(refuted.confirmed, refuted.device))
    unmeasured = [each for each in found if each.memory is None]
    if asked.measure is not None and unmeasured:
        out.show(*report.unmeasured(unmeasured))
    every = [each for group in groups for each in group]
    out.fact("status", str(min((e.verdict.status for e in every), key=lambda s: s.severity)))
    asked.end(sure=any(each.fits for each in every), refuted=any(each.refuted for each in every))


def _confirmed(asked: Asked, workloads: Sequence[Workload]) -> list[Confirmed]:
    """Measure what would fit somewhere by its prediction: of the rest nothing would change."""
    forms = [predicted_workload(workload) for workload in workloads]
    found = []
    with CountedLine("measuring", len(forms)) as line:
        for form in forms:
            predicted = confirmed(form, None)
            somewhere = any(
                combine(predicted, device, asked.budgets).fits for device in asked.devices.values()
            )
            if asked.measure is None or not somewhere:
                reason = predicted.reason if asked.measure is None else report.FITS_NOWHERE
                found.append(Confirmed(form, None, reason))
            else:
                found.append(confirmed(form, asked.measure))
            line.advance()
    return found


def _refuted(groups: Sequence[Sequence[Combination]]) -> list[Combination]:
    """The first device of every algorithm on which a measurement says otherwise."""
    first: dict[int, Combination] = {}
    for group in groups:
        for place, each in enumerate(group):
            if each.refuted:
                first.setdefault(place, each)
    return list(first.values())
