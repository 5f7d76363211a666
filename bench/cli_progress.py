"""How a run goes, for a person who waits: one line on stderr, none where nobody looks."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from .report import STATUS_WORDS
from .schema import Record, RecordStatus, Workload


class ProgressLine:
    """A listener that shows a bar while it is entered, and nothing outside a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        shown = console.is_terminal and os.environ.get("TERM") != "dumb"
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            Elapsed(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._task = self._progress.add_task("starting", total=None)
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

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
