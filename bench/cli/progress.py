"""How far work is, on stderr: one line that changes in a terminal, lines that stay in a log.

A log, be it of CI or of a night, gets a line for every workload that ends: a suite may take hours,
and a silent hour looks like one that hangs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, OverflowMethod
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from trainfit.bench.cli.output import output
from trainfit.bench.cli.reports.run import STATUS_WORDS
from trainfit.bench.records.schema import Record, RecordStatus, Workload

BAR_WIDTH = 20
NARROW, NARROW_BAR = 60, 8
"""Columns below which the bar is short, and how long it is then."""

LOG_SECONDS = 60.0
"""Between two lines in a log, of work that has no parts to count."""


class ProgressLine:
    """Columns that are shown in a terminal while it is entered; lines where there is none.

    What is going on comes last and is cut first; a count or a time never is.

    Args:
        console: Standard error.
        description: What is going on at first.
        columns: What comes before it.
        clock: Seconds, only going forward.
    """

    def __init__(
        self,
        console: Console,
        description: str,
        *columns: ProgressColumn,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._progress = Progress(
            *columns,
            _Description(console),
            console=console,
            transient=True,
            disable=output().quiet or not _moves(console),
        )
        self._task = self._progress.add_task(description, total=None)
        self._logs = self._progress.disable and not output().quiet
        self._clock = clock
        self._began = clock()

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

    def _say(self, line: str, style: str | None = None) -> None:
        try:
            self._console.print(line, markup=False, highlight=False, style=style, soft_wrap=True)
            self._console.file.flush()
        except (OSError, ValueError):  # a full disk, a log that was closed: work goes on without
            self._logs = False


class SpinnerLine(ProgressLine):
    """A spinner, the time that has gone by, and what is going on; in a log a line a minute."""

    def __init__(
        self, description: str = "starting", clock: Callable[[], float] = time.monotonic
    ) -> None:
        console = Console(stderr=True)
        elapsed = TimeElapsedColumn(table_column=_whole())
        super().__init__(console, description, _spinner(console), elapsed, clock=clock)
        self._said = self._began

    def show(self, what: str) -> None:
        """It goes on."""
        self._progress.update(self._task, description=what)
        if self._logs and (now := self._clock()) - self._said >= LOG_SECONDS:
            self._said = now
            self._say(f"{_clock_time(now - self._began)} {what}")


class CountedLine(ProgressLine):
    """A bar over a known number of things."""

    def __init__(self, description: str, total: int) -> None:
        console = Console(stderr=True)
        count = MofNCompleteColumn(table_column=_whole())
        super().__init__(console, description, _bar(console), count)
        self._progress.update(self._task, total=total)

    def advance(self) -> None:
        """One of them is done."""
        self._progress.advance(self._task)


class DownloadLine(ProgressLine):
    """A bar over the bytes of the file that arrives."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = DownloadColumn(table_column=_whole()), TimeRemainingColumn(table_column=_whole())
        super().__init__(console, "connecting", _bar(console), *columns)

    def show(self, name: str, done: int, total: int | None) -> None:
        """A piece of a file has arrived."""
        self._progress.update(self._task, description=name, completed=done, total=total)


class RunProgress(ProgressLine):
    """A listener to a run.

    Args:
        clock: Seconds, only going forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        console = Console(stderr=True)
        super().__init__(
            console,
            "starting",
            _spinner(console),
            _bar(console),
            MofNCompleteColumn(table_column=_whole()),
            TimeElapsedColumn(table_column=_whole()),
            TextColumn("{task.fields[left]}", markup=False),
            clock=clock,
        )
        self._progress.update(self._task, left="")
        self._name = ""
        self._running, self._total = 0, 0
        self._seconds: list[float] = []

    def checking(self) -> None:
        """The suite is being checked, and torch is being imported."""
        self._progress.update(self._task, description="checking the suite")

    def started(self, number: int, total: int, workload: Workload) -> None:
        """A workload begins."""
        self._name = workload.label
        self._running, self._total, self._since = number, total, self._clock()
        self._progress.update(self._task, completed=number - 1, total=total, description=self._name)

    def doing(self, what: str) -> None:
        """A workload goes on to its next part."""
        self._progress.update(self._task, description=f"{self._name}: {what}")

    def finished(self, number: int, record: Record) -> None:
        """A workload has its record, from now or, in a run that is continued, from before."""
        if number == self._running:
            self._seconds.append(self._clock() - self._since)
            if self._logs:
                self._log(number, record)
        self._progress.update(self._task, completed=number, left=self._left(number))
        if record.status is not RecordStatus.OK and not self._progress.disable:
            line = f"#{number} {record.workload.label}: {STATUS_WORDS[record.status]}"
            self._say(line, style="red")

    def _left(self, number: int) -> str:
        """How long the rest takes if it takes as long as what was measured; empty if unknown."""
        rest = self._total - number
        if not self._seconds or not rest:
            return ""
        time_left = _clock_time(rest * sum(self._seconds) / len(self._seconds))
        return f"{'' if self._console.width < NARROW else 'about '}{time_left} left"

    def _log(self, number: int, record: Record) -> None:
        parts = [
            f"[{number}/{self._total}]",
            _clock_time(self._clock() - self._began),
            f"{record.workload.label}: {STATUS_WORDS[record.status]}",
        ]
        left = self._left(number)
        self._say(" ".join(parts) + (f", {left}" if left else ""))


class _Description(ProgressColumn):
    """What is going on, on one line that gives way to the columns before it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        # In ASCII three characters would be written for the one that there is room for.
        self._overflow: OverflowMethod = "ellipsis" if _has_unicode(console) else "crop"

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow=self._overflow)


def _moves(console: Console) -> bool:
    """Whether a line on it can be changed."""
    return console.is_terminal and os.environ.get("TERM") != "dumb"


def _has_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


def _whole() -> Column:
    """A column of the line that is not made narrower."""
    return Column(no_wrap=True)


def _spinner(console: Console) -> SpinnerColumn:
    name = "dots" if _has_unicode(console) else "line"
    return SpinnerColumn(name, table_column=_whole())


def _bar(console: Console) -> BarColumn:
    width = NARROW_BAR if console.width < NARROW else BAR_WIDTH
    return BarColumn(bar_width=width, table_column=_whole())


def _clock_time(seconds: float) -> str:
    """Hours, minutes and seconds, as ``0:01:23``."""
    return str(timedelta(seconds=round(seconds)))
