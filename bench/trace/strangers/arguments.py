"""What operators are called with: the tensors in it, and the same on the meta device."""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors in a value, those in lists included."""
    if isinstance(value, torch.Tensor):
        return [value]
    found: list[torch.Tensor] = []
    if isinstance(value, (list, tuple, dict)):
        _gather(value, found)
    return found


def _gather(value: list[Any] | tuple[Any, ...] | dict[Any, Any], found: list[torch.Tensor]) -> None:
    """Add the tensors in a list or dictionary; asked of the arguments of every operator."""
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, torch.Tensor):
            found.append(each)
        elif isinstance(each, (list, tuple, dict)):
            _gather(each, found)


def twin(value: Any) -> Any:
    """A meta tensor of the same shape in place of a tensor."""
    if isinstance(value, torch.Tensor):
        return aten.empty_strided.default(
            value.shape, value.stride(), dtype=value.dtype, device="meta"
        )
    if isinstance(value, (list, tuple)):
        return [twin(each) for each in value]
    return torch.device("meta") if isinstance(value, torch.device) else value


def on_meta(name: str, value: Any) -> Any:
    """An argument by name, for the meta device."""
    if name == "device" or isinstance(value, torch.device):
        return torch.device("meta")
    return False if name == "pin_memory" else twin(value) if name else value


def argument_of(which: tuple[int, str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The argument with a place and a name."""
    place, name = which
    return args[place] if place < len(args) else kwargs.get(name)
