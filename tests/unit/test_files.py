"""Files that are read: what is none, what is too large, how it is encoded, what it holds."""

from __future__ import annotations

import codecs
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainfit import _files
from trainfit._files import (
    FileError,
    NoFileError,
    NotTomlError,
    decoded,
    open_plain,
    parse_json,
    parse_toml,
    read_bytes,
    read_lines,
    read_text,
    refuse_repeated_keys,
)
from trainfit._limits import DEEPEST_NESTING, LARGEST_INTEGER


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Everything that has a name and is no plain file."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(tmp_path)  # the name of a socket may not be long
        bound.bind("socket")
        os.chdir(before)
        yield {
            "a pipe": str(tmp_path / "pipe"),
            "a folder": str(tmp_path),
            "a socket": str(tmp_path / "socket"),
            "a device": "/dev/zero",
        }


def test_what_is_no_plain_file_is_refused_before_it_is_opened(odd: dict[str, str]) -> None:
    for what, path in odd.items():
        with pytest.raises(FileError, match=f"it is {what}; give a plain file"):
            open_plain(path)


@pytest.mark.parametrize("name", ["a" * 5_000, "a\0b", "\ud800", "b/" * 3_000])
def test_a_name_that_no_file_can_have(name: str) -> None:
    with pytest.raises(FileError, match=r"cannot be read: (no file can have|File name too long)"):
        read_text(name)


def test_no_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for missing in (tmp_path / "none", tmp_path / "file" / "below"):
        with pytest.raises(NoFileError):
            read_text(missing)


def test_a_file_may_be_as_large_as_said(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"12345")
    assert read_bytes(file, 5) == b"12345"
    with pytest.raises(FileError, match="is larger than the 4 bytes that such a file may have"):
        read_bytes(file, 4)


def test_lines_come_whole_and_none_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_files, "LONGEST_LINE", 8)
    file = tmp_path / "f"
    file.write_bytes(b"1234567\nab\ncut off")
    assert list(read_lines(file)) == [b"1234567\n", b"ab\n"]
    file.write_bytes(b"ab\n" + b"0" * 20)
    with pytest.raises(FileError, match="line 2 is longer than 8 bytes"):
        list(read_lines(file))


def test_what_editors_of_windows_save_is_read() -> None:
    assert decoded(codecs.BOM_UTF8 + b"a\r\nb\r\n") == "a\nb\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(encoding: str) -> None:
    name = encoding[:6].upper()
    with pytest.raises(FileError, match=f"is not UTF-8 but {name}.*; save the file as UTF-8"):
        decoded("name = 1".encode(encoding))


def test_the_line_that_is_no_text_is_counted_from_one() -> None:
    with pytest.raises(FileError, match="line 2: not UTF-8; save the file as UTF-8"):
        decoded(b"a = 1\nb = '\xe9'\n")


DEEP = "[" * 3_000 + "]" * 3_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = " + "9" * 5_000, "line 2: a number has too many digits; whole numbers go"),
        (f"a = {DEEP}", f"is nested more than {DEEPEST_NESTING} deep"),
        ("a" + ".a" * 500 + " = 1", f"is nested more than {DEEPEST_NESTING} deep"),
        ("[[w]]\n[[w]]\na = [0, 99999999999999999999]", r"w\[2\].a\[2\]: is too large a number"),
        ("a =", "not valid TOML: .*; correct that line"),
        ("a = '" + "x" * 20_000, "not valid TOML"),
    ],
)
def test_toml_beyond_the_limits(text: str, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        parse_toml(text)
    assert len(str(caught.value)) < 400
    assert isinstance(caught.value, NotTomlError) == ("not valid" in said)


def test_numbers_up_to_the_limit_are_read() -> None:
    assert parse_toml(f"a = {LARGEST_INTEGER}") == {"a": LARGEST_INTEGER}
    assert parse_json(f"[{-LARGEST_INTEGER}, 1e300]") == [-LARGEST_INTEGER, 1e300]
    deep = "[" * DEEPEST_NESTING + "1" + "]" * DEEPEST_NESTING
    assert parse_json(deep)
    with pytest.raises(FileError, match="is nested more than"):
        parse_json(f"[{deep}]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9" * 5_000, "a number has too many digits"),
        (DEEP, "is nested more than"),
        ("[" * 100_000, "is nested more than"),
        ('{"a": NaN}', "NaN is not a number that JSON knows"),
        ('{"a": [1, -1e999]}', r"a\[2\]: must be a finite number, got -inf"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice; keep one of them"),
        ('{"a": 1,\n"b" 2}', "not valid JSON: line 2, column 5: "),
    ],
)
def test_json_beyond_the_limits(text: str, said: str) -> None:
    with pytest.raises(FileError, match=said):
        parse_json(text)


def test_a_key_that_is_there_twice_is_named_wherever_it_is() -> None:
    refuse_repeated_keys('{"a": {"b": 1}, "c": {"b": 2}}')
    refuse_repeated_keys("no JSON: whoever reads it says so")
    with pytest.raises(FileError, match="'b c' is there twice"):
        refuse_repeated_keys('{"a": {"b c": 1, "b c": 1}}')
