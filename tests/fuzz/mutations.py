"""Mutations of good inputs: of their bytes, of their lines, and of the values in them.

Every one is a function of a generator and a good input; the same seed gives the same inputs.
"""

from __future__ import annotations

import codecs
import json
from copy import deepcopy
from random import Random
from typing import Any

DIGITS = "9" * 5_000
HOSTILE_TEXTS = (
    "x\n::stop-commands::t", "\x1b[2J", "\u202e\u2066", "`<img src=x>` @everyone", "=1+1", "a|b",
    "$\\frac$", "\u0661\u0662", "\ud800", "x" * 20_000, "", " ", "\x00",
    "{input}", "%s %n", "..",
    "-1", "inf", "null", "true", "/dev/zero", "a/../b", "\u2028", "\ufeff",
)  # fmt: skip
"""Text that a terminal, GitHub, Markdown, a spreadsheet or a file system would obey."""

_BIG = "@@big@@"
_DEEP = "@@deep@@"
_HUGE = "@@huge@@"
_STANDS_FOR = {_BIG: DIGITS, _HUGE: "1e999", _DEEP: "[" * 3_000 + "]" * 3_000}

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**40, 10**400, 0.5, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), _BIG, _DEEP, _HUGE, [], {}, [[]], [None], {"a": 1},
    ["a", 1], "1", "1.5", *HOSTILE_TEXTS,
)  # fmt: skip

TOML_VALUES = (
    "true", "0", "-1", "1.5", '"text"', "[]", "{}", "inf", "nan", "-inf", DIGITS, "9" * 30,
    "1e999", "[" * 3_000 + "]" * 3_000, "[1, 'a', {}]", "{ a = { b = 1 } }", "1979-05-27", '""',
    '"' + "x" * 20_000 + '"', '"\\u001b[2J\\n::stop-commands::t"', '"\\u202e"',
    "0x7fffffffffffffffff", "{ x" + ".x" * 500 + " = 1 }",
    "[0, 0]", "[1, 1, 1]", "'''\n'''", "x.x", '"a\\u0000b"', '"' + "../" * 50 + '"',
)  # fmt: skip


def bytewise(rng: Random, good: bytes) -> bytes:
    """Bits flipped, pieces cut, doubled or put in, other encodings: one to three of these."""
    content = bytearray(good)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice((1, 1, 2, 8, 64, 1_000)))
        kind = rng.randrange(8)
        if kind == 0 and content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[at:end]
        elif kind == 2:
            content[at:at] = content[at:end]
        elif kind == 3:
            content[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))
        elif kind == 4:
            content[at:at] = rng.choice(HOSTILE_TEXTS).encode("utf-8", "surrogatepass")
        elif kind == 5:
            del content[at:]
        elif kind == 6:
            content[:0] = rng.choice((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE))
        else:
            content = bytearray(_recoded(rng, bytes(content)))
    return bytes(content)


def _recoded(rng: Random, content: bytes) -> bytes:
    text = content.decode("utf-8", "replace")
    kind = rng.randrange(4)
    if kind == 0:
        return text.encode("utf-16")
    if kind == 1:
        return content.replace(b"\n", b"\r\n")
    if kind == 2:
        return text.encode("latin-1", "replace") + b"\xe9"
    return text.replace("1", rng.choice(("\u0661", DIGITS, "[" * 2_000, "NaN"))).encode("utf-8")


def tree(rng: Random, good: Any) -> str:
    """A JSON document of which one to three values are others, or keys other or doubled."""
    document = json.loads(json.dumps(good))
    for _ in range(rng.randint(1, 3)):
        document = _changed(rng, document)
    text = json.dumps(document)
    for word, value in _STANDS_FOR.items():
        text = text.replace(f'"{word}"', value)
    if rng.random() < 0.1:  # a key is there twice, as when both sides of a merge are kept
        text = text.replace('{"', '{"' + rng.choice(("schema", "a", "workloads")) + '": 1, "', 1)
    return text


def _changed(rng: Random, document: Any) -> Any:
    """The document with one place of it changed."""
    holder, place = _place(rng, document)
    if holder is None:
        return deepcopy(rng.choice(VALUES))
    kind = rng.randrange(5)
    if kind == 0:
        del holder[place]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(HOSTILE_TEXTS)] = holder.pop(place)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), deepcopy(holder[place]))
    else:
        holder[place] = deepcopy(rng.choice(VALUES))
    return document


def _place(rng: Random, document: Any) -> tuple[Any, Any]:
    """A table or list of the document and a key or index in it; shallow ones more often."""
    here = document
    found: tuple[Any, Any] = (None, None)
    while isinstance(here, dict | list) and here:
        place = rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here))
        found = here, place
        if rng.random() < 0.25:
            break
        here = here[place]
    return found


def toml(rng: Random, good: str) -> bytes:
    """A TOML document of which lines have other values or keys, are doubled, lost or moved."""
    if rng.random() < 0.4:
        return bytewise(rng, good.encode("utf-8"))
    lines = good.splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        key, equals, value = lines[at].partition("=")
        kind = rng.randrange(7)
        if kind < 4 and equals:
            lines[at] = f"{key}= {rng.choice(TOML_VALUES)}"
        elif kind == 4:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif kind == 5 and len(lines) > 1:
            del lines[at]
        elif equals:
            other = rng.choice(("x", "x.y", "0", '"a.b"', key.upper()))
            lines[at] = f"{other} ={value}"
    return "\n".join(lines).encode("utf-8", "replace")


def line(rng: Random, good: str) -> str:
    """What a person types, with pieces of it other, doubled or lost; without NUL, which ends it."""
    text = good
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((1, 2, 5)))
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:at] + text[end:]
        elif kind == 1:
            text = text[:at] + text[at:end] * rng.choice((2, 5, 50)) + text[end:]
        elif kind == 2:
            text = text[:at] + rng.choice(HOSTILE_TEXTS) + text[end:]
        elif kind == 3:
            text = text[:at] + rng.choice(TOML_VALUES) + text[end:]
        elif kind == 4:
            text = text[:at] + rng.choice("[]{}=,:-xb.0'\"\\#\u0661 \t") + text[end:]
        else:
            text = text.replace(
                rng.choice("0123456789"), rng.choice(("9" * 5_000, "0", "-1", "999"))
            )
    return text.replace("\x00", "")
