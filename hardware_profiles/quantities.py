"""Quantities as text: a number and its unit, such as ``96 KiB`` or ``50 ms``.

Units are case-sensitive: m is not M. Ambiguous text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from trainfit._text import format_bytes, shown

Formatter = Callable[[Any], str]
"""From an amount to text for people."""

_TEXT = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([^\s0-9].*)?")
_AMBIGUOUS = {
    "kb": "1000 or 1024 bytes; write KiB",
    "mb": "1000^2 or 1024^2 bytes; write MiB",
    "gb": "1000^3 or 1024^3 bytes; write GiB",
}
_LARGEST_EXPONENT = 18  # of ten: larger than any time, memory or energy of a training step

SIZE = {"B": Decimal(1), "KiB": Decimal(2**10), "MiB": Decimal(2**20), "GiB": Decimal(2**30)}
TIME = {"s": Decimal(1), "ms": Decimal("1e-3"), "us": Decimal("1e-6")}
ENERGY = {"J": Decimal(1), "mJ": Decimal("1e-3"), "uJ": Decimal("1e-6")}
STORED_ENERGY = {"Wh": Decimal(3600), "mWh": Decimal("3.6"), "J": Decimal(1)}


def parse_bytes(given: Any) -> int:
    """A whole number of bytes, greater than 0, from text such as ``96 KiB``.

    Raises:
        ValueError: It is none; the message says what would be right.
    """
    count = _parse(given, SIZE, "size", "96 KiB")
    if count != count.to_integral_value():
        raise ValueError(
            f"{shown(given)} is {count.normalize():f} bytes; write a whole number of bytes"
        )
    return int(count)


def parse_seconds(given: Any) -> float:
    """Seconds, more than 0, from text such as ``50 ms``.

    Raises:
        ValueError: It is none; the message says what would be right.
    """
    return float(_parse(given, TIME, "time", "50 ms"))


def parse_joules(given: Any) -> float:
    """Joules, more than 0, from text such as ``2 mJ``.

    Raises:
        ValueError: It is none; the message says what would be right.
    """
    return float(_parse(given, ENERGY, "energy", "2 mJ"))


def parse_stored_joules(given: Any) -> float:
    """Joules, more than 0, from the capacity of a battery such as ``1000 mWh``.

    Raises:
        ValueError: It is none; the message says what would be right.
    """
    return float(_parse(given, STORED_ENERGY, "a battery's energy", "1000 mWh"))


def _parse(given: Any, units: dict[str, Decimal], quantity: str, example: str) -> Decimal:
    choices = f"units: {', '.join(units)}"
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        raise ValueError(f'{shown(given)} has no unit; write text such as "{example}" ({choices})')
    parts = _TEXT.fullmatch(given.strip()) if isinstance(given, str) else None
    if parts is None:
        raise ValueError(
            f'{shown(given)} is not a number with a unit; write "{example}" or the like ({choices})'
        )
    number, unit = parts.groups()
    if unit is None:
        raise ValueError(f'{shown(given)} has no unit; write text such as "{example}" ({choices})')
    if unit not in units:
        raise ValueError(f"{shown(given)}: {_no_unit(unit, units, quantity)} ({choices})")
    try:
        value = Decimal(number)
        beyond = abs(value.adjusted()) > _LARGEST_EXPONENT
    except InvalidOperation:  # an exponent of more digits than decimals have
        value, beyond = Decimal(1), True
    if value <= 0:
        raise ValueError(f"{shown(given)} allows nothing; write more than 0, or leave it out")
    if beyond:
        raise ValueError(
            f'{shown(given)} is beyond all measure; write "{example}" or the like ({choices})'
        )
    return value * units[unit]


def _no_unit(unit: str, units: dict[str, Decimal], quantity: str) -> str:
    if units is SIZE and unit.lower() in _AMBIGUOUS:
        return f"{shown(unit)} may mean {_AMBIGUOUS[unit.lower()]}"
    meant = unit.replace("\u00b5", "u").replace("\u03bc", "u")  # micro sign and Greek mu
    near = [known for known in units if known.lower() == meant.lower()]
    return f"{shown(unit)} is not a unit of {quantity}; write {near[0] if near else 'one of them'}"


def format_seconds(seconds: float) -> str:
    """Seconds for people: ``50 ms``."""
    return _format(seconds, ("s", "ms", "us"))


def format_joules(joules: float) -> str:
    """Joules for people: ``2 mJ``."""
    return _format(joules, ("J", "mJ", "uJ"))


def format_size(count: int) -> str:
    """Bytes for people, and the exact number if that is rounded."""
    return f"{count} B" if count < 1024 else f"{format_bytes(count)} ({count:,} B)"


def _format(value: float, units: tuple[str, str, str]) -> str:
    scaled = value
    for unit in units[:-1]:
        if scaled >= 1:
            return f"{scaled:.6g} {unit}"
        scaled = value * (1e3 if unit == units[0] else 1e6)
    return f"{scaled:.6g} {units[-1]}"
