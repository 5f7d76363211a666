"""Texts that every part of the house needs: names, numbers and problems in words for people.

A leaf: it imports nothing of this project, nothing heavy, and may be imported by all of it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from trainfit._limits import LONGEST_ECHO, LONGEST_NAME

if TYPE_CHECKING:
    from pydantic import ValidationError

MISSING = "-"
"""What a table shows where there is no figure."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What a message says after an unknown name: the nearest right ones, or all of them."""
    names = sorted(known)
    if len(name) > LONGEST_NAME:
        name = ""  # looking for what is near it would take minutes
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"


def shortened(text: str, most: int = LONGEST_ECHO) -> str:
    """A text without its middle where it is too long for a message."""
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def shown(value: object, *, quoted: bool = True) -> str:
    """A value as a message repeats it: on one line, nothing unprintable, not too long.

    Args:
        value: As it was given.
        quoted: As Python writes it, text in quotes; otherwise text is left without.
    """
    try:
        text = repr(value) if quoted or not isinstance(value, str) else value
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    except RecursionError:
        return "what is nested too deep to be shown"
    return printable(shortened(text))


def printable(text: str) -> str:
    """A text as one line for people: what would control a terminal stands there as a picture.

    Line feeds, escapes and the like become ``U+2400`` and following, other characters without a
    picture (those that turn the direction of writing, halves of characters from names that are not
    UTF-8) U+FFFD. The text keeps its length.
    """
    return text if text.isprintable() else "".join(map(_picture, text))


def _picture(letter: str) -> str:
    code = ord(letter)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    hidden = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "\ufffd" if hidden and letter not in "\u200c\u200d" else letter  # joiners of scripts


def plain(value: object) -> str:
    """A value as a suite file or an option has it: ``true``, ``0.1``, ``adam``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def format_bytes(count: int) -> str:
    """Bytes for people, in powers of two: ``512 B``, ``112.0 KiB``, ``1.5 GiB``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds, four digits: ``1.234 ms``."""
    return MISSING if seconds is None else f"{1e3 * seconds:.4g} ms"


def ratio(value: float | None) -> str:
    """A ratio to three decimals: ``1.050``."""
    return MISSING if value is None else f"{value:.3f}"


def layer_sizes(model: str) -> tuple[int, ...]:
    """The widths of a fully connected net by its name, inputs and classes included.

    ``mlp-784-500x2-10`` has 784, 500, 500, 10; the name of any other net has none.
    """
    family, *parts = model.split("-")
    widths = [re.fullmatch(r"([1-9][0-9]{0,6})(?:x([1-9][0-9]{0,2}))?", part) for part in parts]
    if family != "mlp" or not all(widths):
        return ()
    return tuple(int(each[1]) for each in widths if each for _ in range(int(each[2] or 1)))


_MARKUP = re.compile(r"[\\`*_\[\]<>|#~$&]")


def escape_markdown(text: str) -> str:
    """One line in which nothing is markup and nobody is mentioned: a message may hold anything."""
    line = printable(" ".join(text.split()))
    # a comment keeps the sign from the name, which a backslash does not
    return _MARKUP.sub(r"\\\g<0>", line).replace("@", "@<!-- -->")


def markdown_code(text: str) -> str:
    """Text as code that may stand in a table."""
    return f"`{printable(text).replace('|', chr(92) + '|').replace('`', chr(39))}`"


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0
) -> list[str]:
    """A table in Markdown, line by line; its last ``right`` columns are flush right."""
    left = len(head) - right
    rule = f"|{'---|' * left}{'--:|' * right}"
    lines = ["".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in (head, *rows)]
    return [lines[0], rule, *lines[1:]]


def counted(number: int, what: str) -> str:
    """A number of things: ``1 workload``, ``1,000 workloads``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def first_problem(error: ValidationError) -> str:
    """The first thing that a schema found wrong, as ``place: what``; for documents of programs.

    Files that people write are explained at length, by the folder whose schema it is.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
