"""Terminals that cannot show every character get one that is like it."""

from __future__ import annotations

import io

import pytest

from trainfit._characters import nearest_ascii, replace_what_cannot_be_shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("95.1 % ± 0.2", "95.1 % +/- 0.2"),
        ("\N{MINUS SIGN}5 … 3\N{MULTIPLICATION SIGN}4", "-5 ... 3x4"),
        ("████▒▒│▶", "####==|>"),
        ("┏━┓┃╭─╮│├┼┤━", "+-+|+-+||+|-"),
        ("52 µA/MHz, Straße, naïve", "52 uA/MHz, Strasse, naive"),
        ("⠋ 学", "? ?"),
        ("\udcff", "?"),
        ("plain ? text", "plain ? text"),
    ],
)
def test_the_nearest_in_ascii(text: str, shown: str) -> None:
    assert nearest_ascii(text) == shown


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"+/- u #|# ?"),
        ("latin-1", b"\xb1 \xb5 #|# ?"),
        ("cp437", b"\xf1 \xe6 \xdb\xb3\xdb ?"),
        ("utf-8", "± µ █│█ ".encode() + b"?"),  # a file name that is no UTF-8
    ],
)
def test_a_stream_writes_what_it_has_and_something_alike_for_the_rest(
    encoding: str, written: bytes
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    replace_what_cannot_be_shown([stream, io.StringIO()])

    stream.write("± µ █│█ \udcff")
    stream.flush()

    assert raw.getvalue() == written
