"""How a run goes, for a person who waits, and what it found."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from trainfit.bench.cli.output import Column, output, stdout
from trainfit.bench.cli.progress_line import ProgressLine
from trainfit.bench.cli.reports.run import STATUS_WORDS, figures, verdicts
from trainfit.bench.frames.workloads import IDENTITY, RECORD, record_row
from trainfit.bench.records.reading import LOGS
from trainfit.bench.records.schema import Record, RecordStatus, Workload
from trainfit.bench.run.runner import Run
from trainfit.hardware_profiles import Device


class RunProgress(ProgressLine):
    """A listener to a run."""

    def __init__(self) -> None:
        super().__init__(
            "starting",
            SpinnerColumn(),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            Elapsed(),
            TextColumn("{task.description}", markup=False),
        )
        self._name = ""

    def checking(self) -> None:
        """The suite is being checked, and torch is being imported."""
        self._progress.update(self._task, description="checking the suite")

    def started(self, number: int, total: int, workload: Workload) -> None:
        """A workload begins."""
        self._name = workload.label
        self._progress.update(self._task, completed=number - 1, total=total, description=self._name)

    def doing(self, what: str) -> None:
        """A workload goes on to its next part."""
        self._progress.update(self._task, description=f"{self._name}: {what}")

    def finished(self, number: int, record: Record) -> None:
        """A workload has its record."""
        self._progress.update(self._task, completed=number)
        if record.status is not RecordStatus.OK and not self._progress.disable:
            line = f"#{number} {record.workload.label}: {STATUS_WORDS[record.status]}"
            self._progress.console.print(line, markup=False, highlight=False, style="red")


VERDICT_COLUMNS = tuple(
    Column(key)
    for key in (
        "number",
        "workload",
        "device",
        "budget",
        "status",
        "margin",
        "unit",
        "evidence",
        "reason",
    )
)


def show_run(done: Run) -> None:
    """The figures and verdicts of a run, and where its records are."""
    out = output()
    records = done.records
    width = stdout().width
    rows = [record_row(record) for record in records]
    columns = [Column(key) for key in (*IDENTITY, *RECORD)]
    out.table("figures", columns, rows, printed=figures(records, width))
    judged = [done.judges.verdicts(record) for record in records]
    lines = [
        {"number": number, "workload": record.workload.label, **verdict.model_dump(mode="json")}
        for number, (record, own) in enumerate(zip(records, judged, strict=True), start=1)
        for verdict in own
    ]
    devices = [each for each in done.judges.devices if isinstance(each, Device)]
    matrix = verdicts(judged, devices, width)
    out.table("verdicts", VERDICT_COLUMNS, lines, printed=["", *matrix])
    failed = sum(record.error is not None for record in records)
    summary = f"{len(records) - failed} of {len(records)} workloads measured"
    kept = len(records) - done.measured
    if kept:
        summary += f", {kept} of them before" if not failed else f", {kept} records kept"
    out.show(f"\n{summary}; run written to {done.path}")
    out.fact("run", str(done.path))
    if failed:
        out.show(f"what they wrote: {done.path / LOGS}")
        out.fact("logs", str(done.path / LOGS))
