"""Operators on lists of tensors, as one call for each of them: optimisers of torch have such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from trainfit.bench.trace.trace import Operand, Operator

_PREFIX = "aten._foreach_"

_NAMES = {"norm": "linalg_vector_norm"}
"""Where the operator on one tensor has another name."""


def single_calls(call: Operator) -> Iterator[Operator]:
    """The calls on one tensor that a call stands for: itself, if it is not on lists."""
    if not call.name.startswith(_PREFIX):
        yield call
        return
    name, _, overload = call.name.removeprefix(_PREFIX).partition(".")
    name = _NAMES.get(name.rstrip("_"), name)
    results = call.results or call.written
    for place in range(len(call.args[0])):
        yield replace(
            call,
            name=f"aten.{name}.{overload}",
            args=tuple(_one_of(each, place, len(call.args[0])) for each in call.args),
            written=call.written[place : place + 1],
            results=results[place : place + 1],
        )


def _one_of(value: Any, place: int, count: int) -> Any:
    """The one of a list that belongs to a tensor; anything else is for all."""
    is_list = isinstance(value, tuple) and len(value) == count
    if is_list and all(isinstance(each, (Operand, int, float)) for each in value):
        return value[place]
    return value
