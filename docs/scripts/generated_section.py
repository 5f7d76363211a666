"""A part of a Markdown page that a program writes, between ``<!-- NAME -->`` and its end mark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainfit.bench.errors import BenchError

ROOT = Path(__file__).resolve().parents[2]
"""The project."""


@dataclass(frozen=True)
class Section:
    """A generated part of a page.

    Attributes:
        page: The Markdown file.
        name: Stands in both marks.
        make: Makes the text; raises BenchError where it cannot.
    """

    page: Path
    name: str
    make: Callable[[], str]

    def rewrite(self, *, check: bool = False) -> int:
        """Write the text between the marks, or only say whether it would change.

        Returns:
            The exit code: 1 if ``check`` finds it outdated, 2 if it cannot be made; one line on
            stderr says so.
        """
        begin, end = f"<!-- {self.name} -->", f"<!-- end of {self.name} -->"
        try:
            text = self.page.read_text("utf-8")
            before, rest = text.split(begin, 1)
            after = rest.split(end, 1)[1]
        except (OSError, ValueError, IndexError):
            sys.stderr.write(f"{self.page}: needs the lines {begin} and {end}\n")
            return 2
        try:
            new = f"{before}{begin}\n\n{self.make()}\n\n{end}{after}"
        except BenchError as error:
            sys.stderr.write(f"{error}\n")
            return 2
        if not check:
            self.page.write_text(new, "utf-8")
        elif new != text:
            sys.stderr.write(f"{self.page}: is outdated; run this without --check\n")
            return 1
        return 0

    def main(self, description: str | None) -> int:
        """The program: write the section, or with ``--check`` say whether it is current."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--check", action="store_true", help="change nothing, 1 if outdated")
        return self.rewrite(check=parser.parse_args().check)


def table(head: str, rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are figures.

    Args:
        head: ``rule | board | published ms``.
        rows: The cells.
    """
    columns = head.count("|")
    lines = [f"| {head} |", f"|---|{'--:|' * columns}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)
