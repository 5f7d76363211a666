"""One line on stderr that says how long work goes; none where nobody looks."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from trainfit.bench.cli.output import output


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

    def __init__(self) -> None:
        super().__init__(
            "starting",
            SpinnerColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )

    def show(self, what: str) -> None:
        """It goes on."""
        self._progress.update(self._task, description=what)
