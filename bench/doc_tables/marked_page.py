"""A part of a Markdown page that a program writes, between two marks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from trainfit.bench.errors import BenchError

Marks = tuple[str, str]
"""The lines before and behind the part."""


def parse(
    program: str, description: str | None, arguments: Sequence[str] | None
) -> tuple[Path, bool]:
    """What such a program is called with: the folder of its page, and whether only to check it."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if outdated")
    options = parser.parse_args(arguments)
    return options.folder, options.check


def rewrite(page: Path, marks: Marks, make: Callable[[], str], *, check: bool) -> int:
    """Write what stands between the marks anew, or say whether it would change.

    Args:
        page: The Markdown file.
        marks: Both have to be in it.
        make: Makes the text.
        check: Change nothing.

    Returns:
        The exit code: 1 if ``check`` finds it outdated, 2 if it cannot be made; one line on stderr
        says so.
    """
    begin, end = marks
    try:
        text = page.read_text("utf-8")
        before, rest = text.split(begin, 1)
        after = rest.split(end, 1)[1]
    except (OSError, ValueError, IndexError):
        sys.stderr.write(f"{page}: needs the lines {begin} and {end}\n")
        return 2
    try:
        new = f"{before}{begin}\n\n{make()}\n\n{end}{after}"
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not check:
        page.write_text(new, "utf-8")
    elif new != text:
        sys.stderr.write(f"{page}: is outdated; run this without --check\n")
        return 1
    return 0
