"""Where results go: tables for people, one JSON document for machines, CSV files for both.

A command hands every table over once, as columns and rows of plain values; its user chooses
with ``--json``, ``--csv DIR`` and ``--quiet`` what becomes of it. Errors do not come this way.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from trainfit import _text
from trainfit._escaping import csv_cell, terminal
from trainfit._limits import LONGEST_MESSAGE
from trainfit.bench.errors import BenchError

WIDTH = 100
"""Columns of what is printed where there is no terminal."""

Row = Mapping[str, Any]


class OutputError(BenchError):
    """Results cannot be written where they were asked for."""


def stdout() -> Console:
    """Where results go: a terminal in its own width, anything else as plain text."""
    console = Console(highlight=False, emoji=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, emoji=False, width=WIDTH, color_system=None)


def plain(value: Any) -> str:
    """A value as a cell of a table has it: missing as ``-``, whole numbers with separators."""
    if value is None:
        return _text.MISSING
    whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if whole else _text.plain(value)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: Its name for machines, and the key of its values in a row.
        title: Its head for people; without one it is not shown to them.
        text: How people see a value.
        right: It is set flush right, as numbers are.
    """

    key: str
    title: str = ""
    text: Callable[[Any], str] = plain
    right: bool = False


def unseen(*keys: str) -> tuple[Column, ...]:
    """Columns for machines only, by their names; a text may hold several."""
    return tuple(Column(key) for text in keys for key in text.split())


@dataclass
class Output:
    """What becomes of the results of one command.

    Attributes:
        quiet: Nothing is printed.
        as_json: One JSON document is printed when the command ends, and nothing else.
        csv_folder: Every table is written into this folder, too.
        csv_at_end: They are written when the command has ended well, so that one that refuses its
            input leaves nothing behind.
        debug: A fault of trainfit itself is shown with its traceback.
    """

    quiet: bool = False
    as_json: bool = False
    csv_folder: Path | None = None
    csv_at_end: bool = False
    debug: bool = False
    _document: dict[str, Any] = field(default_factory=dict)
    _unwritten: dict[str, tuple[list[str], list[Row]]] = field(default_factory=dict)

    @property
    def for_people(self) -> bool:
        """Somebody reads along."""
        return not (self.quiet or self.as_json)

    @property
    def rows_are_seen(self) -> bool:
        """Every row of every table is written, as JSON or CSV."""
        return self.as_json or self.csv_folder is not None

    def table(
        self,
        name: str,
        columns: Sequence[Column],
        rows: Iterable[Row],
        *,
        printed: Iterable[RenderableType] | None = None,
    ) -> None:
        """Hand a table over.

        Args:
            name: Its key in the JSON document and the stem of its CSV file.
            columns: What there is to know about a row, in this order.
            rows: Values by column; a missing one is None. Not looked at where nobody sees them.
            printed: What people see instead of the plain table.

        Raises:
            OutputError: The CSV file cannot be written.
        """
        if printed is not None and not self.rows_are_seen:
            self.show(*printed)
            return
        found: list[Row] = [{column.key: row.get(column.key) for column in columns} for row in rows]
        self._document[name] = found
        self._unwritten[name] = [column.key for column in columns], found
        if not self.csv_at_end:
            self._write_tables()
        if printed is not None:
            self.show(*printed)
        elif self.for_people:
            self.show(drawn(columns, found))

    def rows(
        self, name: str, columns: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[Any]]
    ) -> None:
        """Hand a table over whose rows are tuples.

        Args:
            name: As for :meth:`table`.
            columns: Title per column, or (name for machines, title).
            rows: One value per column.

        Raises:
            OutputError: The CSV file cannot be written.
        """
        made = [Column(each, each) if isinstance(each, str) else Column(*each) for each in columns]
        keys = [column.key for column in made]
        self.table(name, made, [dict(zip(keys, row, strict=True)) for row in rows])

    def fact(self, name: str, value: Any) -> None:
        """A single result, for machines."""
        self._document[name] = value

    def show(self, *parts: RenderableType) -> None:
        """Something for people.

        A line stays one line, so that it can be searched; a terminal gets it broken between words.
        """
        if self.for_people:
            console = stdout()
            for part in parts:
                if isinstance(part, str | Text):
                    for line in prose(part, console):
                        console.print(_Shown(line), soft_wrap=True, markup=False)
                else:
                    console.print(_Shown(part), markup=False)

    def finish(self) -> None:
        """The command has ended well: write tables and print the document, as asked for.

        Raises:
            OutputError: A CSV file cannot be written.
        """
        self._write_tables()
        if self.as_json and self._document:
            sys.stdout.write(json.dumps(self._document, indent=2) + "\n")

    def _write_tables(self) -> None:
        tables, self._unwritten = self._unwritten, {}
        if self.csv_folder is not None:
            for name, (keys, rows) in tables.items():
                _write_csv(self.csv_folder, name, keys, rows)


class _Shown:
    """Something for people of which no name reaches the terminal as anything but letters."""

    def __init__(self, part: RenderableType) -> None:
        self._part = Text(terminal(part)) if isinstance(part, str) else part

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        begins = True  # where a line begins, GitHub looks for commands
        for segment in console.render(self._part, options):
            if segment.control:
                yield segment
                continue
            lines = []
            for number, line in enumerate(segment.text.split("\n")):
                begins = begins or number > 0
                lines.append(terminal(line, begins=begins))
                begins = begins and not line.strip()
            yield Segment("\n".join(lines), segment.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._part)


def complain(message: str) -> None:
    """Say what is wrong, in one line on stderr."""
    line = _text.shortened(" ".join(message.split()), LONGEST_MESSAGE)
    with suppress(OSError):  # of a full disk; the exit code is left to say it
        for part in prose(terminal(f"trainfit: {line}"), Console(stderr=True)):
            print(part.plain, file=sys.stderr)


def prose(text: str | Text, console: Console) -> Iterator[Text]:
    """Lines of text as a console shows them.

    A terminal breaks a line that is too long for it between words, below the line's own indent; a
    word that is longer than the line stays whole. Anything else gets the lines as they are.
    """
    for line in (Text(text) if isinstance(text, str) else text).split(allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip())
        room = console.width - indent
        if not console.is_terminal or len(line) <= console.width or room < 1:
            yield line
            continue
        starts, column = [], 0
        for word in re.finditer(r"\S+\s*", line.plain[indent:]):
            if column and column + cell_len(word[0].rstrip()) > room:
                starts.append(indent + word.start())
                column = 0
            column += cell_len(word[0])
        for number, piece in enumerate(line.divide(starts)):
            piece.rstrip()
            yield Text(" " * indent).append_text(piece) if number else piece


GAP = 2
"""Spaces between two columns of a table; one, where words would not find room otherwise."""


class FittedTable(Table):
    """A table that breaks the text of its cells between words, as long as all words find room."""

    def __init__(self) -> None:
        super().__init__(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
        self._texts: list[list[str]] = []

    def add(self, title: str, texts: list[str], *, right: bool) -> None:
        """A column; the first, and those flush right, are broken last."""
        justify: JustifyMethod = "right" if right else "left"
        self.add_column(title, overflow="fold", justify=justify)
        self._texts.append([title, *texts])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give columns the widths that :func:`shared_out` finds, where they do not fit whole."""
        lines = [[text.split("\n") for text in own] for own in self._texts]
        most = [max(cell_len(line) for text in own for line in text) for own in lines]
        words = [_longest_word(line for text in own for line in text) for own in lines]
        whole = [
            max([_longest_word(own[0]), *(cell_len(line) for text in own[1:] for line in text)])
            for own in lines
        ]
        numbers = [column.justify == "right" for column in self.columns]
        names = [index == 0 or right for index, right in enumerate(numbers)]
        least = [
            [line if kept else word for line, word, kept in zip(whole, words, keep, strict=True)]
            for keep in (names, numbers)
        ]
        gaps = len(most) - 1
        gap = GAP if sum(words) + GAP * gaps <= options.max_width else 1
        self.padding = (0, gap, 0, 0)
        room = options.max_width - gap * gaps
        for column, width in zip(
            self.columns, shared_out(room, most, [*least, words]), strict=True
        ):
            column.width = width
        yield from super().__rich_console__(console, options)


def shared_out(room: int, most: list[int], least: Sequence[list[int]]) -> list[int]:
    """Widths of the columns of a table.

    Every column gets the least width that its text needs, and what is left is shared evenly; what a
    column has no use for goes to the others.

    Args:
        room: Characters for all of them.
        most: Width of each column with every line whole.
        least: Least widths, by what may be broken; the first that leave room are taken. Where not
            even the last do, the widest columns are made narrower.
    """
    widths = list(next((each for each in least if sum(each) <= room), least[-1]))
    while sum(widths) > max(room, len(widths)):
        widths[widths.index(max(widths))] -= 1
    spare = room - sum(widths)
    order = sorted(range(len(widths)), key=lambda index: most[index] - widths[index])
    for place, index in enumerate(order):
        given = max(0, min(most[index] - widths[index], spare // (len(order) - place)))
        widths[index] += given
        spare -= given
    return widths


def _longest_word(lines: Iterable[str]) -> int:
    return max((cell_len(word) for line in lines for word in line.split()), default=0)


def drawn(columns: Iterable[Column], rows: Iterable[Row]) -> Table:
    """The table that people see: the columns that have a title."""
    table = FittedTable()
    kept = list(rows)
    shown = [column for column in columns if column.title]
    texts = [[column.text(row.get(column.key)) for row in kept] for column in shown]
    for column, own in zip(shown, texts, strict=True):
        table.add(column.title, own, right=column.right)
    for cells in zip(*texts, strict=True):
        table.add_row(*cells)
    return table


def check_folder(folder: Path) -> Path:
    """A folder for CSV files, which is there or could be made; nothing is made.

    Raises:
        OutputError: It could not.
    """
    try:
        problem = _why_not_writable(folder)
    except OSError as error:  # a name that is too long, say
        problem = error.errno or errno.EINVAL
    if problem:
        raise OutputError(f"--csv {folder}: cannot be written: {os.strerror(problem)}")
    return folder


def _why_not_writable(folder: Path) -> int:
    if folder.exists() and not folder.is_dir():
        return errno.EEXIST
    nearest = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if nearest is None:
        return errno.ENOENT
    if not nearest.is_dir():
        return errno.ENOTDIR
    return 0 if os.access(nearest, os.W_OK | os.X_OK) else errno.EACCES


def _write_csv(folder: Path, name: str, keys: list[str], rows: Iterable[Row]) -> None:
    file = folder / f"{name}.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, keys)
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    except OSError as error:
        raise OutputError(f"--csv {folder}: cannot be written: {error.strerror}") from error


def _cell(value: Any) -> Any:
    """CSV knows no structure: lists and tables as JSON, truth as JSON has it."""
    return json.dumps(value) if isinstance(value, list | dict | bool) else csv_cell(value)


_running: ContextVar[Output] = ContextVar("output")


def output() -> Output:
    """Where the results of the command that runs now go; a plain one outside of any command."""
    return _running.get(None) or Output()


@contextmanager
def running(chosen: Output) -> Iterator[Output]:
    """While this is entered, :func:`output` is ``chosen``."""
    token = _running.set(chosen)
    try:
        yield chosen
    finally:
        _running.reset(token)
