"""Text that somebody else chose, made safe for where it is written: one function per medium.

Those of Markdown are in :mod:`trainfit._text`, beside the tables they stand in.

Names of workloads, stages and tensors come from files that anybody may have written. None of them
may end a line early, give GitHub a command, notify its users, or start a formula.

A leaf: it imports nothing of this project but other leaves.
"""

from __future__ import annotations

import re
from typing import Any

from trainfit._text import printable

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, however it is written."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_HARMLESS = re.compile(r"-|[+-][0-9.,]+(e[+-]?[0-9]+)?")
"""What stands for nothing, and numbers."""


def terminal(text: str, *, begins: bool = True) -> str:
    """One line of a terminal, and of the log of a CI job: no escape, no command of GitHub's.

    GitHub takes ``::`` at the beginning of a line for a command, and ``##[`` anywhere.

    Args:
        text: The line, or a part of it.
        begins: Whether it may be the beginning.
    """
    line = printable(text).replace("##[", "# #[")
    command = begins and line.lstrip().startswith("::")
    return line.replace("::", ": :", 1) if command else line


def escape_xml(text: str) -> str:
    """Text that XML can hold; the library that writes it escapes the rest."""
    return _NO_XML.sub("\ufffd", text)


def escape_github(text: str, more: str = "") -> str:
    """A message of a GitHub command, or with ``more`` = ``,:`` one of its properties."""
    kept = "\n".join(map(printable, text.split("\n")))
    for character in "%\r\n" + more:
        kept = kept.replace(character, f"%{ord(character):02X}")
    return kept


def csv_cell(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would take for a formula gets a quote.

    Numbers stay what they are, and so does the dash that stands for nothing.
    """
    if not isinstance(value, str):
        return value
    kept = value if value.isprintable() else value.encode("utf-8", "replace").decode()
    return f"'{kept}" if kept.startswith(_FORMULA) and not _HARMLESS.fullmatch(kept) else kept
