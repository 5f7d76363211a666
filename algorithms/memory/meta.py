"""Tensors with shapes but no values, so that an algorithm can state its memory without allocating.

torch's meta device has such tensors. Most operators are quick on them; a few are written in Python,
and the first call of one imports torch's compiler, which takes longer than everything else in a
closed form. Constructors draw, scale, round and pack weights with these few operators, whose
results are not needed: here they are replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def _itself(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return tensor


def _mean(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return tensor.mean(*args, **kwargs) if args or kwargs else tensor.new_empty(())


def _randn(*size: int, generator: torch.Generator | None = None, **kwargs: Any) -> torch.Tensor:
    return torch.empty(*size, **kwargs)


_STAND_INS: dict[Callable[..., Any], Callable[..., torch.Tensor]] = {
    torch.Tensor.abs: _itself,
    torch.Tensor.amin: torch.Tensor.amax,
    torch.Tensor.bitwise_and_: _itself,
    torch.Tensor.bitwise_right_shift_: _itself,
    torch.Tensor.clamp: _itself,
    torch.Tensor.clamp_: _itself,
    torch.Tensor.div_: _itself,
    torch.Tensor.mean: _mean,
    torch.Tensor.neg_: _itself,
    torch.Tensor.normal_: _itself,
    torch.Tensor.reciprocal_: _itself,
    torch.Tensor.trunc_: _itself,
    torch.Tensor.uniform_: _itself,
    torch.randn: _randn,
}


class _StandIns(TorchFunctionMode):
    """Gives every tensor its shape and type, but no values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if isinstance(kwargs.get("out"), torch.Tensor):
            return kwargs["out"]
        stand_in: Callable[..., Any] = _STAND_INS.get(func, func)
        return stand_in(*args, **kwargs)


@contextmanager
def meta_tensors() -> Iterator[None]:
    """Tensors made within the block are on the meta device; nothing is drawn."""
    with torch.device("meta"), _StandIns():
        yield
