"""Figures and tables of runs as files: which there are, what could not be drawn and why.

This is where records meet :mod:`plots`, which sees frames only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        files: What was written; empty if the runs do not hold its data.
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

    Attributes:
        runs: Run folders.
        folder: Where files go; made if it is not there.
        columns: Of a paper, that a figure is wide.
    """

    runs: Sequence[Path]
    folder: Path
    columns: int = 2
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict)

    def figure(self, name: str) -> Drawing:
        """Draw one figure.

        Raises:
            DrawingError: There is no such figure, or a file cannot be written.
            RunFolderError: A run cannot be read.
        """
        from trainfit.plots import UnknownFigureError, load_figure  # noqa: PLC0415  (imports matplotlib)
        from trainfit.plots.drawing.saving import drawable, save_figure  # noqa: PLC0415

        module = _known(load_figure, name, UnknownFigureError)

        def write(numbers: pd.DataFrame) -> list[Path]:
            with warnings.catch_warnings():  # of a letter that the font lacks, a box is drawn
                warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
                figure = module.draw(drawable(numbers), columns=self.columns)
                return save_figure(figure, numbers, self.folder, name)

        return self._draw("figure", name, module, write)

    def table(self, name: str) -> Drawing:
        """Write one table.

        Raises:
            DrawingError: There is no such table, or a file cannot be written.
            RunFolderError: A run cannot be read.
        """
        from trainfit.plots import UnknownTableError, load_table  # noqa: PLC0415
        from trainfit.plots.drawing.tables import save_table  # noqa: PLC0415

        module = _known(load_table, name, UnknownTableError)

        def write(numbers: pd.DataFrame) -> list[Path]:
            return save_table(numbers, self.folder, f"table-{name}", caption=module.CAPTION)

        return self._draw("table", name, module, write)

    def _draw(
        self, kind: str, name: str, module: Any, write: Callable[[pd.DataFrame], list[Path]]
    ) -> Drawing:
        from trainfit.plots import MissingDataError  # noqa: PLC0415

        try:
            first = self._frame(module.SOURCE)
            if first.empty:
                raise MissingDataError(*_EMPTY[module.SOURCE])
            numbers = module.numbers(first, *map(self._frame, getattr(module, "ALSO", ())))
        except MissingDataError as error:
            return Drawing(kind, name, module.TITLE, missing=str(error))
        try:
            files = write(numbers)
        except OSError as error:
            raise DrawingError(
                f"--out {self.folder}: cannot be written: {error.strerror}"
            ) from error
        caption = getattr(module, "CAPTION", "")
        return Drawing(kind, name, module.TITLE, tuple(files), caption=caption)

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
