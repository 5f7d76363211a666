"""Names that somebody else chose, in every medium that they are written to."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from xml.etree.ElementTree import fromstring

import pytest
from rich.table import Table
from rich.text import Text

from trainfit._escaping import csv_cell, escape_github, escape_xml, terminal
from trainfit._limits import LONGEST_ECHO
from trainfit._text import escape_markdown, markdown_code, printable, shortened, shown
from trainfit.bench.cli.output import Output

HOSTILE = "x\n::stop-commands::t\r\n\x1b[2J\u202e\x9b`<img src=x>` @everyone a|b ##[error]"


def test_one_printable_line_of_the_same_length() -> None:
    assert printable(HOSTILE).isprintable()
    assert len(printable(HOSTILE)) == len(HOSTILE)
    assert printable("µ 1\u00a0kB \u0928\u200d") == "µ 1\u00a0kB \u0928\u200d"
    assert printable("r\udcff") == "r\ufffd"


def test_a_long_value_is_shown_without_its_middle() -> None:
    text = shown("a" + "x" * 20_000 + "b")
    assert LONGEST_ECHO - 2 < len(text) <= LONGEST_ECHO
    assert text.startswith("'ax")
    assert text.endswith("xb'")
    assert " ... " in text
    assert shortened("as it is") == "as it is"
    assert shown(10**5_000) == "a number of thousands of digits"


@pytest.mark.parametrize("begins", ["::error::x", "  ::error::x", "\n::error::x"])
def test_no_line_of_a_terminal_begins_with_a_command_of_github(begins: str) -> None:
    assert not terminal(begins).lstrip().startswith("::")
    assert "##[" not in terminal(HOSTILE)
    assert terminal("a::b") == "a::b"


def test_markdown_has_neither_markup_nor_mentions() -> None:
    escaped = escape_markdown(HOSTILE)
    assert "\n" not in escaped
    assert "\\<img" in escaped
    assert "@everyone" not in escaped
    code = markdown_code(HOSTILE)
    assert code.count("`") == 2
    assert "\n" not in code
    assert "a\\|b" in code


def test_a_command_of_github_is_one_line() -> None:
    assert "\n" not in escape_github("a\nb%\r")
    assert "\x1b" not in escape_github(HOSTILE)
    assert escape_github("a:b,c\nd", ",:") == "a%3Ab%2Cc%0Ad"


def test_xml_can_be_parsed() -> None:
    assert fromstring(f"<a>{escape_xml('x' + chr(27) + chr(0) + 'y')}</a>").text == "x\ufffd\ufffdy"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|x", "'+cmd|x"), ("\t=1", "'\t=1"),
        ("-", "-"), ("-1.5", "-1.5"), ("+4,096", "+4,096"), ("a=1", "a=1"), (-3, -3), (None, None),
        ("r\udcff", "r?"), ("two\nlines", "two\nlines"),
    ],
)  # fmt: skip
def test_no_cell_of_a_spreadsheet_is_a_formula(given: object, written: object) -> None:
    assert csv_cell(given) == written


def test_nothing_that_is_shown_controls_the_terminal() -> None:
    table = Table(box=None)
    table.add_column("::warning::head")
    table.add_row(Text("::error::cell\x1b[31m"))
    shown_there = io.StringIO()
    with redirect_stdout(shown_there):
        Output().show(HOSTILE, Text(f"\n{HOSTILE}", style="bold"), table)
        Output().rows("t", ["::a"], [["::b\n::c"]])
    printed = shown_there.getvalue()
    assert "cell" in printed
    assert "stop-commands" in printed
    for line in printed.split("\n"):
        assert not line.lstrip().startswith("::")
        assert line.isprintable()
    assert "##[" not in printed
