"""Layers that a user chooses by text: ``all``, ``none``, ``last:N`` or numbers such as ``1,3``."""

from __future__ import annotations

import re

from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.models import Mlp

_LAST = re.compile(r"last:([1-9][0-9]{0,3})")
_LIST = re.compile(r"[0-9]{1,4}(,[0-9]{1,4})*")


def layer_numbers(
    model: Mlp, text: str, *, rule: str, option: str, also: str = ""
) -> frozenset[int]:
    """Layers, counted from 1, from the text of an option.

    Args:
        model: The net.
        text: What the user wrote.
        rule: The name of the rule, for the message.
        option: The name of the option, for the message.
        also: What else the option may be, for the message.

    Raises:
        ConfigurationError: The text is none of these forms, or names a layer that does not exist.
    """
    return numbers_in(text, len(model.layers), model.name, rule=rule, option=option, also=also)


def numbers_in(
    text: str, count: int, name: str, *, rule: str, option: str, also: str = ""
) -> frozenset[int]:
    """The same for any net of that name with ``count`` layers."""
    if text in ("all", "none"):
        return frozenset(range(1, count + 1) if text == "all" else ())
    if match := _LAST.fullmatch(text):
        numbers = list(range(count - int(match[1]) + 1, count + 1))
    elif _LIST.fullmatch(text):
        numbers = sorted({int(number) for number in text.split(",")})
    else:
        form = "all, none, last:N or layer numbers such as 1,3"
        or_else = f", or {also}" if also else ""
        raise ConfigurationError(f"{rule}: {option}={text!r} is not {form}{or_else}")
    if numbers[0] < 1 or numbers[-1] > count:
        raise ConfigurationError(f"{rule}: {option}={text!r}, but {name!r} has layers 1 to {count}")
    return frozenset(numbers)
