"""What a run writes to a log while it goes on."""

from __future__ import annotations

import re

_LINE = re.compile(r"\[(\d+/\d+)\] \d+:\d\d:\d\d (.+?)(?:, about \d+:\d\d:\d\d left)?")


def progress_lines(log: str) -> list[tuple[str, str]]:
    """The count and the result of every line of a log in which there is nothing else."""
    found = [_LINE.fullmatch(line) for line in log.splitlines()]
    assert all(found), log
    return [(each[1], each[2]) for each in found if each]
