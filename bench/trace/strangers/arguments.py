"""What operators are called with: the tensors in it, and the same on the meta device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from trainfit.bench.trace.trace import Operand, operands

aten = torch.ops.aten


def changed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Operand]:
    """The operands that an operator changes, by its schema."""
    if func._schema.is_mutable:
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = args[place] if place < len(args) else kwargs.get(argument.name)
                yield from operands(given)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a value, those in lists included."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors_in(each)


def twin(value: Any) -> Any:
    """A meta tensor of the same shape in place of a tensor."""
    if isinstance(value, torch.Tensor):
        return aten.empty_strided.default(
            value.shape, value.stride(), dtype=value.dtype, device="meta"
        )
    if isinstance(value, (list, tuple)):
        return [twin(each) for each in value]
    return on_meta("", value)


def on_meta(name: str, value: Any) -> Any:
    """An argument by name, for the meta device."""
    if name == "device" or isinstance(value, torch.device):
        return torch.device("meta")
    return False if name == "pin_memory" else twin(value) if name else value


def argument_of(which: tuple[int, str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The argument with a place and a name."""
    place, name = which
    return args[place] if place < len(args) else kwargs.get(name)
