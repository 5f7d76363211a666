"""Tensors with shapes but no values, so that an algorithm can state its memory without allocating.

torch's meta device has such tensors. Constructors draw and scale weights, whose values are not
needed: what :mod:`trainfit.algorithms.memory.stand_ins` knows stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainfit.algorithms.memory.stand_ins import READ, result_of, value_of

FROM_NUMBERS = torch.ops.aten.lift_fresh.default
"""Numbers of Python's become a tensor: torch has made one on the CPU by then."""

_META = torch.device("meta")


class WithoutValues(TorchDispatchMode):
    """Runs operators on shapes and types only; what is made of nothing has no values.

    ``with torch.device("meta")`` would do the latter, too, but it makes every call of a function of
    torch and every look at an attribute of a tensor several times slower.

    Args:
        answers: Give a stand-in where a value of a tensor is asked for, 1 or True; without it that
            is torch's error.
    """

    def __init__(self, *, answers: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answers = answers

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: that wraps every call, and the first of them imports torch's compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operator on shapes."""
        if self._answers and func is READ:
            return value_of(args[0])
        if func is FROM_NUMBERS:
            return without_values(args[0])
        return result_of(func, args, made_without_values(func, kwargs or {}))


def meta_tensors() -> WithoutValues:
    """Tensors made within the block are on the meta device; nothing is drawn."""
    return WithoutValues(answers=True)


def made_without_values(func: Any, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of an operator; one that makes a tensor of nothing is sent to the meta device.

    Args:
        func: The operator.
        kwargs: What it is called with by name.
    """
    return {**kwargs, "device": _META} if "device" in kwargs and _makes(func) else kwargs


def without_values(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor like it without its values."""
    shape, strides = tensor.shape, tensor.stride()
    return torch.empty_strided(shape, strides, dtype=tensor.dtype, device=_META)


@cache
def _makes(func: Any) -> bool:
    """It is given no tensor."""
    return all("Tensor" not in str(each.type) for each in func._schema.arguments)
