"""A recording of a sensor, replayed against a clock: for tests, and for boards that are elsewhere.

A CSV file. Its first column is ``seconds``; every other is a rail, with its power in watts, or,
under the name RAIL_joules, with its energy so far. All of one kind.
"""

from __future__ import annotations

import bisect
import csv
import io
import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from trainfit._files import FileError, NoFileError, read_text
from trainfit._limits import LARGEST_DOCUMENT
from trainfit._text import shown
from trainfit.bench.sensors.base import Reading, SensorError, Unavailable
from trainfit.bench.sensors.rails import Offsets, choose_total

_TIME = "seconds"
_JOULES = "_joules"
_FORM = f"a header such as {_TIME},VDD_IN (watts) or {_TIME},package-0{_JOULES}"


class ReplaySensor:
    """Shows what the recording showed as long after its start as now is after the first reading.

    Args:
        path: The CSV file.
        clock: Seconds, only going forward.

    Raises:
        SensorError: The file cannot be replayed; the message says which line, and what would do.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self.name = f"replay:{path}"
        self._path = path
        self._clock = clock
        self._began: float | None = None
        columns, self._rows = _load(path)
        self._counts = columns[0].endswith(_JOULES)
        self.rails = tuple(column.removesuffix(_JOULES) for column in columns)
        self._times = [seconds for seconds, _ in self._rows]
        gaps = [later - sooner for sooner, later in itertools.pairwise(self._times)]
        self.interval_seconds = statistics.median(gaps)
        self.total, covered = choose_total(self.rails)
        offsets = Offsets()
        for _, values in () if self._counts else self._rows:
            offsets.see(dict(zip(self.rails, values, strict=True)))
        self.coverage = f"a recording: {covered}{offsets.note()}"

    def read(self) -> Reading | Unavailable:
        """The last row that is not in the future; nothing once the recording has ended."""
        now = self._clock()
        if self._began is None:
            self._began = now
        at = self._times[0] + now - self._began
        if at > self._times[-1] + self.interval_seconds:
            lasted = self._times[-1] - self._times[0]
            return Unavailable(f"the recording {self._path} ended after {lasted:g} s")
        # Sums of clock readings miss a row's time by a last digit.
        index = bisect.bisect_right(self._times, at + 1e-9) - 1
        values = dict(zip(self.rails, self._rows[index][1], strict=True))
        return Reading(now, joules=values) if self._counts else Reading(now, watts=values)

    def close(self) -> None:
        """The file was read at once."""


Row = tuple[float, list[float]]


def _load(path: Path) -> tuple[list[str], list[Row]]:
    """The rails' columns, and time and values of every row."""
    try:
        reader = csv.reader(io.StringIO(read_text(path, LARGEST_DOCUMENT), newline=""))
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except NoFileError:
        raise SensorError(f"{path}: no such file; needed is a CSV file with {_FORM}") from None
    except FileError as problem:
        raise SensorError(f"{path}: not a CSV file that can be read ({problem})") from None
    except csv.Error as error:
        raise SensorError(f"{path}: not a CSV file that can be read ({error})") from None
    if not lines:
        raise SensorError(f"{path}: empty; needed is {_FORM}")
    number, header = lines[0]
    columns = _columns(f"{path}, line {number}", [cell.strip() for cell in header])
    rows: list[Row] = []
    for number, cells in lines[1:]:
        where = f"{path}, line {number}"
        if len(cells) != len(header):
            raise SensorError(f"{where}: {len(cells)} values; the header has {len(header)} columns")
        seconds, *values = (_number(where, cell) for cell in cells)
        if rows and seconds <= rows[-1][0]:
            raise SensorError(
                f"{where}: seconds {seconds:g} does not come after {rows[-1][0]:g}; "
                f"rows are in the order of time"
            )
        rows.append((seconds, values))
    if len(rows) < 2:
        raise SensorError(f"{path}: {len(rows)} rows of values; at least two are needed")
    return columns, rows


def _columns(where: str, header: list[str]) -> list[str]:
    first, *columns = header
    if first != _TIME or not columns or not all(columns):
        raise SensorError(f"{where}: the columns are {shown(','.join(header))}; needed is {_FORM}")
    if len(set(columns)) < len(columns):
        raise SensorError(f"{where}: a rail occurs twice; every rail has one column")
    if len({column.endswith(_JOULES) for column in columns}) > 1:
        raise SensorError(
            f"{where}: watts and {_JOULES.strip('_')} are mixed; "
            f"all rails end in {_JOULES}, or none does"
        )
    return columns


def _number(where: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SensorError(f"{where}: {shown(cell.strip())} is not a number")
    return value
