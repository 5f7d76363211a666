"""Figures and tables of runs as files: which there are, what could not be drawn and why.

This is where records meet :mod:`plots`, which sees frames only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainfit._whole_files import write_files
from trainfit.bench.errors import BenchError
from trainfit.bench.frames.sources import load_source

if TYPE_CHECKING:
    import pandas as pd


class DrawingError(BenchError):
    """Something cannot be drawn from these runs, or not be written."""


@dataclass(frozen=True)
class Drawing:
    """One figure or table that was asked for.

    Attributes:
        kind: ``figure`` or ``table``.
        name: As on the command line.
        title: What it shows, one line.
        files: What :meth:`Drawer.write` writes; empty if the runs do not hold its data.
        missing: What is missing, and what makes it.
        caption: Of a table.
    """

    kind: str
    name: str
    title: str
    files: tuple[Path, ...] = ()
    missing: str = ""
    caption: str = ""


@dataclass
class Drawer:
    """Draws from the same runs into the same folder; every frame is read once.

    Nothing is written before everything is drawn, so that what cannot be drawn leaves nothing.

    Attributes:
        runs: Run folders.
        folder: Where files go; made if it is not there.
        columns: Of a paper, that a figure is wide.
        contents: What is to be written: names of files, and what is in them.
    """

    runs: Sequence[Path]
    folder: Path
    columns: int = 2
    contents: dict[str, bytes] = field(default_factory=dict)
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict)

    def figure(self, name: str) -> Drawing:
        """Draw one figure.

        Raises:
            DrawingError: There is no such figure.
            RunFolderError: A run cannot be read.
        """
        from trainfit.plots import UnknownFigureError, load_figure  # noqa: PLC0415  (imports matplotlib)
        from trainfit.plots.drawing.saving import figure_files  # noqa: PLC0415

        module = _known(load_figure, name, UnknownFigureError)

        def files(numbers: pd.DataFrame) -> dict[str, bytes]:
            return figure_files(module.draw(numbers, columns=self.columns), numbers, name)

        return self._draw("figure", name, module, files)

    def table(self, name: str) -> Drawing:
        """Write one table.

        Raises:
            DrawingError: There is no such table.
            RunFolderError: A run cannot be read.
        """
        from trainfit.plots import UnknownTableError, load_table  # noqa: PLC0415
        from trainfit.plots.drawing.tables import table_files  # noqa: PLC0415

        module = _known(load_table, name, UnknownTableError)

        def files(numbers: pd.DataFrame) -> dict[str, bytes]:
            return table_files(numbers, f"table-{name}", caption=module.CAPTION)

        return self._draw("table", name, module, files)

    def write(self) -> None:
        """Write everything that was drawn.

        Raises:
            DrawingError: It cannot be written; then nothing is.
        """
        if not self.contents:
            return
        try:
            write_files(self.folder, self.contents)
        except OSError as error:
            what = error.strerror or error
            raise DrawingError(f"--out {self.folder}: cannot be written: {what}") from error

    def _draw(
        self, kind: str, name: str, module: Any, files: Callable[[pd.DataFrame], dict[str, bytes]]
    ) -> Drawing:
        from trainfit.plots import MissingDataError  # noqa: PLC0415

        try:
            first = self._frame(module.SOURCE)
            if first.empty:
                raise MissingDataError(*_EMPTY[module.SOURCE])
            numbers = module.numbers(first, *map(self._frame, getattr(module, "ALSO", ())))
        except MissingDataError as error:
            return Drawing(kind, name, module.TITLE, missing=str(error))
        found = files(numbers)
        self.contents |= found
        paths = tuple(self.folder / each for each in found)
        caption = getattr(module, "CAPTION", "")
        return Drawing(kind, name, module.TITLE, paths, caption=caption)

    def _frame(self, source: str) -> pd.DataFrame:
        """A frame of the runs, empty if they have none; a figure gets a copy of its own."""
        if source not in self._frames:
            self._frames[source] = load_source(self.runs, source)
        return self._frames[source].copy()


_EMPTY = {
    "records": ("there are no records", "measure some with trainfit run SUITE --out RUN"),
    "values": ("nothing was measured", 'give the suite measure = ["memory"] and run it'),
    "costs": (
        "the run has no time and no energy of a step",
        'run a suite that measures latency (measure = [..., "latency"]), or with devices = "all"',
    ),
    "verdicts": (
        "no workload of the run was judged against a device",
        'run a suite with devices = "all" or a list of devices',
    ),
    "curves": (
        "no workload was trained",
        "give its suite epochs = 10 and run it again (trainfit run SUITE --out RUN)",
    ),
    "timelines": (
        "the run has no timelines",
        "it was made before they were kept, or without memory; run its suite again",
    ),
    "gradients": (
        "no gradients were probed",
        'give the suite measure = ["memory", "accuracy", "gradients"] and run it',
    ),
    "noise": (
        "robustness to noise was not probed",
        'give the suite measure = ["memory", "accuracy", "noise"] and run it',
    ),
}
"""What is missing where a frame of the runs is empty, and what makes it."""


def _known(load: Callable[[str], Any], name: str, unknown: type[ValueError]) -> Any:
    try:
        return load(name)
    except unknown as error:
        raise DrawingError(str(error)) from None
