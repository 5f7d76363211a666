"""Files that trainfit reads: opened, measured, decoded and parsed, or one sentence why not.

Every text goes through here: what is no plain file is refused before it is opened (a pipe would
wait for ever, ``/dev/zero`` never ends), so is what is larger than it may be; a byte order mark and
line ends of Windows are read; numbers and nesting beyond :mod:`trainfit._limits` are refused.

A leaf: it imports nothing of this project but other leaves, and nothing heavy.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from trainfit._limits import DEEPEST_NESTING, LARGEST_INTEGER, LARGEST_TEXT, LONGEST_LINE
from trainfit._text import shown

_POSITION = re.compile(r"\s*\(at (line \d+, column \d+|end of document)\)$")
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_AS_UTF8 = "save the file as UTF-8"
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_LONG_NUMBER = re.compile(r"\d(?:_?\d){1000,}")


class FileError(Exception):
    """What is wrong with a file, in one line that goes behind its name."""


class NoFileError(FileError):
    """There is no such file."""


class NotTomlError(FileError):
    """A text is not TOML; one that is, but goes beyond the limits, is another problem.

    Attributes:
        as_written: The problem as the library words it, its place behind it.
    """

    def __init__(self, message: str, as_written: str) -> None:
        super().__init__(message)
        self.as_written = as_written


def is_file(path: str | Path) -> bool:
    """Whether there is a plain file; a name that no file can have is none."""
    return os.path.isfile(path)


def open_plain(path: str | Path) -> IO[bytes]:
    """Open a plain file to read its bytes.

    Raises:
        NoFileError: There is none.
        FileError: It is something else, or may not be read.
    """
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind):
            what = next((name for is_it, name in _KINDS if is_it(kind)), "no plain file")
            raise FileError(f"cannot be read: it is {what}; give a plain file")
        # should it have become a pipe since, the open does not wait for its other end
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise NoFileError("No such file or directory") from None
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from error
    except ValueError:  # of os.stat: NUL, or a character that no file name can have
        raise FileError("cannot be read: no file can have this name") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileError("cannot be read: it is no plain file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | Path, most: int = LARGEST_TEXT) -> bytes:
    """Everything in a plain file.

    Args:
        path: The file.
        most: So many bytes it may hold.

    Raises:
        NoFileError: There is none.
        FileError: It is something else, may not be read, or is larger.
    """
    with open_plain(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise FileError(f"is larger than the {most:,} bytes that such a file may have")
    return content


def read_lines(path: str | Path) -> Iterator[bytes]:
    """The finished lines of a file of any length, each with its end.

    What follows the last line end was cut off, and is left out.

    Raises:
        NoFileError: There is none.
        FileError: It is something else, may not be read, or has a line that is too long.
    """
    with open_plain(path) as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(LONGEST_LINE + 1)
            except OSError as error:
                raise FileError(f"cannot be read: {error.strerror or error}") from error
            if len(line) > LONGEST_LINE:
                raise FileError(f"line {number} is longer than {LONGEST_LINE:,} bytes")
            if not line.endswith(b"\n"):
                return
            yield line


def decoded(content: bytes) -> str:
    """The text of a file, without a byte order mark and with plain line feeds.

    Raises:
        FileError: It is not UTF-8.
    """
    for mark, name in _OTHER_MARKS.items():
        if content.startswith(mark):
            raise FileError(f"is not UTF-8 but {name}; {_AS_UTF8}")
    if content[:2].count(0) == 1:
        raise FileError(f"is not UTF-8 but UTF-16, or no text at all; {_AS_UTF8}")
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError(f"line {line}: not UTF-8; {_AS_UTF8}") from None
    return text.replace("\r\n", "\n")


def read_text(path: str | Path, most: int = LARGEST_TEXT) -> str:
    """The text of a file; see :func:`read_bytes` and :func:`decoded`."""
    return decoded(read_bytes(path, most))


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        NotTomlError: It is none; the message says where.
        FileError: It holds what goes beyond the limits; the message says where.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = _POSITION.search(str(error))
        position = f"{where.group(1)}: " if where else ""
        what = shown(_POSITION.sub("", str(error)), quoted=False)
        raise NotTomlError(
            f"{position}not valid TOML: {what}; correct that line (text goes in quotes, a table of"
            " one line in braces)",
            f"not valid TOML: {shown(str(error), quoted=False)}",
        ) from None
    except RecursionError:
        _too_deep()
    except ValueError:  # of int() for more digits than Python converts
        _too_long(text)
    refuse_excess(found)
    return found


def parse_json(text: str) -> Any:
    """The value of a JSON text, in which no object has a key twice.

    Raises:
        FileError: It is not JSON, or holds what goes beyond the limits.
    """
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise FileError(f"not valid JSON: {where}: {error.msg}") from None
    except RecursionError:
        _too_deep()
    except ValueError:
        _too_long(text)
    refuse_excess(found, finite=True)
    return found


def refuse_repeated_keys(text: str) -> None:
    """Refuse a JSON text in which an object has a key twice: one of the values would be lost.

    What is wrong otherwise is left to whoever reads it.

    Raises:
        FileError: Which key it is.
    """

    def check(pairs: list[tuple[str, Any]]) -> None:
        _object(pairs)

    try:
        json.loads(text, object_pairs_hook=check, parse_int=len)  # keeps none of it in memory
    except (ValueError, RecursionError):
        return


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise FileError(f"{shown(twice)} is there twice; keep one of them")
    return found


def _no_number(word: str) -> NoReturn:
    raise FileError(f"{word} is not a number that JSON knows")


def _too_deep() -> NoReturn:
    raise FileError(
        f"is nested more than {DEEPEST_NESTING} deep; write fewer tables and lists in each other"
    ) from None


def _too_long(text: str) -> NoReturn:
    long = _LONG_NUMBER.search(text)
    where = f"line {text.count(chr(10), 0, long.start()) + 1}: " if long else ""
    raise FileError(f"{where}a number has too many digits; {_RIGHT_NUMBER}") from None


def _at(place: str) -> str:
    return f"{shown(place, quoted=False)}: " if place else ""


_RIGHT_NUMBER = f"whole numbers go up to {LARGEST_INTEGER:,}"


def refuse_excess(found: Any, *, finite: bool = False) -> None:
    """Refuse numbers and nesting beyond the limits, in what was read of TOML or JSON.

    Args:
        found: Tables and lists; nothing here recurses.
        finite: Refuse infinity and NaN, too.

    Raises:
        FileError: Where it is and what would be right.
    """
    level, here = 0, [("", found)]
    while here:
        if level > DEEPEST_NESTING:
            _too_deep()
        inside: list[tuple[str, Any]] = []
        for place, value in here:
            if isinstance(value, dict):
                inside += [(f"{place}.{key}".lstrip("."), each) for key, each in value.items()]
            elif isinstance(value, list):
                inside += [(f"{place}[{number}]", each) for number, each in enumerate(value, 1)]
            elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
                raise FileError(f"{_at(place)}is too large a number; {_RIGHT_NUMBER}")
            elif finite and isinstance(value, float) and not math.isfinite(value):
                raise FileError(f"{_at(place)}must be a finite number, got {value}")
        level, here = level + 1, inside
