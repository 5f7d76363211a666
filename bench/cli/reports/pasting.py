"""Commands that a reader pastes into a shell."""

from __future__ import annotations

import shlex

from rich.console import Console

INDENT = "    "


def columns_of(console: Console) -> int | None:
    """Columns that a command has to be broken for: a terminal's; anything else gets long lines."""
    return console.width if console.is_terminal else None


def pasted(command: str, columns: int | None) -> list[str]:
    """A command as indented lines that can be pasted together.

    Args:
        command: As a shell takes it.
        columns: Of a terminal: a longer line is broken before an option, with a backslash, as a
            shell takes it. None breaks nothing.
    """
    pieces: list[str] = []
    for word in shlex.split(command):
        if word.startswith("-") or not pieces:
            pieces.append(shlex.quote(word))
        else:
            pieces[-1] += f" {shlex.quote(word)}"
    lines = [""]
    for word in pieces:
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if columns is not None and lines[-1] and len(INDENT) + len(longer) + 2 > columns:
            lines[-1] += " \\"
            lines.append(f"  {word}")
        else:
            lines[-1] = longer
    return [INDENT + line for line in lines]
