"""Shapes of results that torch's own functions for tensors without data are slow to find.

Most operators know the shapes of their results in compiled code. Some do it in Python, and the first
call of one imports torch's compiler, which takes longer than a whole trace; and some that draw
numbers refuse a generator. Those that rules use are written here, where the result has the shape
of an operand or is the operand itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

aten = torch.ops.aten


def result_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What an operator gives for tensors without data."""
    stand_in = _STAND_INS.get(func) if _on_meta(args) else None
    return stand_in(*args, **kwargs) if stand_in else func(*args, **kwargs)


def _on_meta(args: Sequence[Any]) -> bool:
    return bool(args) and isinstance(args[0], torch.Tensor) and args[0].is_meta


def _itself(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return tensor


def _alike(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return torch.empty_like(tensor)


def _out(*_: Any, out: torch.Tensor, **__: Any) -> torch.Tensor:
    return out


def _choices(
    weights: torch.Tensor, samples: int, *_: Any, **__: Any
) -> torch.Tensor:
    return weights.new_empty((*weights.shape[:-1], samples), dtype=torch.int64)


_STAND_INS: dict[Any, Callable[..., torch.Tensor]] = {
    aten.abs.default: _alike,
    aten.abs_.default: _itself,
    aten.clamp_.default: _itself,
    aten.normal_.default: _itself,
    aten.uniform_.default: _itself,
    aten.random_.default: _itself,
    getattr(aten.random_, "from"): _itself,
    aten.random_.to: _itself,
    aten.bernoulli_.float: _itself,
    aten.multinomial.default: _choices,
}
