"""What is printed where a terminal or a file cannot take every character: nearest in ASCII.

``PYTHONIOENCODING=ascii``, a log of CI, an old Windows console. A question mark would not do: it is
how a verdict that is not known is written.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Iterable
from typing import TextIO

_PLAIN = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{HYPHEN}": "-",
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{PLUS-MINUS SIGN}": "+/-",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{MIDDLE DOT}": "*",
        "\N{ALMOST EQUAL TO}": "~",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{NOT EQUAL TO}": "!=",
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{GREEK CAPITAL LETTER OMEGA}": "Ohm",
        "\N{DEGREE SIGN}": " deg",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{LEFTWARDS ARROW}": "<-",
        "\N{BLACK RIGHT-POINTING TRIANGLE}": ">",
        "\N{BULLET}": "*",
        "\N{CHECK MARK}": "ok",
        "\N{LATIN SMALL LETTER SHARP S}": "ss",
    }
)
_SHADES = {"\N{LIGHT SHADE}": "-", "\N{MEDIUM SHADE}": "=", "\N{DARK SHADE}": "#"}
_ERRORS = "trainfit.nearest"


def nearest_ascii(text: str) -> str:
    """The same text with the characters that ASCII has not replaced by those most like them.

    ``?`` stands for what has no likeness.
    """
    return "".join(map(_nearest, text))


def _nearest(character: str) -> str:
    if character.isascii():
        return character
    plain = character.translate(_PLAIN)
    if plain.isascii():
        return plain
    if "\N{BOX DRAWINGS LIGHT HORIZONTAL}" <= character < "\N{UPPER HALF BLOCK}":
        name = unicodedata.name(character)
        if "HORIZONTAL" in name and "VERTICAL" not in name:
            return "-"
        return "|" if "VERTICAL" in name and "HORIZONTAL" not in name else "+"
    if "\N{UPPER HALF BLOCK}" <= character < "\N{BLACK SQUARE}":
        return _SHADES.get(character, "#")
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters or "?"


def replace_what_cannot_be_shown(streams: Iterable[TextIO]) -> None:
    """Let streams write something alike for a character that their encoding does not have."""
    codecs.register_error(_ERRORS, _replaced)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return nearest_ascii(error.object[error.start : error.end]), error.end
