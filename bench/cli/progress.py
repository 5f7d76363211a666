"""One line on stderr that says how long work takes; none where nobody looks."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from trainfit.bench.cli.output import output
from trainfit.bench.cli.reports.run import STATUS_WORDS
from trainfit.bench.records.schema import Record, RecordStatus, Workload

BAR_WIDTH = 20


class ProgressLine:
    """Columns that are shown while it is entered, and nothing outside a terminal."""

    def __init__(self, description: str, *columns: ProgressColumn) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            *columns,
            console=console,
            transient=True,
            disable=output().quiet or not console.is_terminal or os.environ.get("TERM") == "dumb",
        )
        self._task = self._progress.add_task(description, total=None)

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


class SpinnerLine(ProgressLine):
    """A spinner, the time that has gone by, and what is going on."""

    def __init__(self, description: str = "starting") -> None:
        super().__init__(description, SpinnerColumn(), TimeElapsedColumn(), _description())

    def show(self, what: str) -> None:
        """It goes on."""
        self._progress.update(self._task, description=what)


class CountedLine(ProgressLine):
    """A bar over a known number of things."""

    def __init__(self, description: str, total: int) -> None:
        bar = BarColumn(bar_width=BAR_WIDTH)
        super().__init__(description, _description(), bar, MofNCompleteColumn())
        self._progress.update(self._task, total=total)

    def advance(self) -> None:
        """One of them is done."""
        self._progress.advance(self._task)


class RunProgress(ProgressLine):
    """A listener to a run."""

    def __init__(self) -> None:
        super().__init__(
            "starting",
            SpinnerColumn(),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _description(),
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


def _description() -> TextColumn:
    return TextColumn("{task.description}", markup=False)
