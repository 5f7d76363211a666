"""How a run goes, for a person who waits."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from .progress_line import ProgressLine
from .report import STATUS_WORDS
from .schema import Record, RecordStatus, Workload


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
