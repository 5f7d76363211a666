"""Numbers that a step counts with, kept although nothing is computed: Adam's count of steps.

A number in a tensor of its own is known if it was made from Python's numbers and has met known
numbers only. It is computed for real, on a copy. What came from the batch or was drawn is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from trainfit.bench.profiler.session import storage_pointer
from trainfit.bench.trace.strangers.arguments import argument_of, tensors_in

_LARGEST_BYTES = 8

_FILLING = frozenset({torch.ops.aten.zero_.default, torch.ops.aten.fill_.Scalar})
"""Operators after which a number is known, whatever it was."""


class KnownNumbers:
    """Values of single numbers, by the address of their storage."""

    def __init__(self) -> None:
        self._values: dict[int, torch.Tensor] = {}

    def find(self, address: int, tensor: torch.Tensor) -> None:
        """A tensor that was there already; its value counts if it is a number by itself."""
        if tensor.dim() == 0 and tensor.untyped_storage().nbytes() <= _LARGEST_BYTES:
            self._values[address] = tensor.detach().clone()

    def value(self, address: int, tensor: torch.Tensor) -> torch.Tensor | None:
        """The number in a tensor; None if it is not known, or more than one."""
        known = self._values.get(address)
        if known is None or tensor.numel() != 1 or tensor.dtype is not known.dtype:
            return None
        return known.reshape(tensor.shape)

    def forget(self, address: int) -> None:
        """It has another value now, or is gone."""
        self._values.pop(address, None)

    def before(self, func: Any, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor] | None:
        """What is in the tensors that an operator is given, if all of it is known."""
        if not tensors or torch.Tag.nondeterministic_seeded in func.tags:
            return None
        if func in _FILLING and tensors[0].dim() == 0:
            return [torch.empty((), dtype=tensors[0].dtype)]
        values: list[torch.Tensor] = []
        for each in tensors:
            if each.numel() != 1:
                return None
            value = self.value(storage_pointer(each), each)
            if value is None:
                return None
            values.append(value)
        return values

    def after(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        values: Sequence[torch.Tensor] | None,
        results: Sequence[torch.Tensor],
    ) -> None:
        """An operator gave tensors: what is in them follows from ``values``, if they are known."""
        found = [] if values is None else _computed(func, args, kwargs, values)
        known = len(found) == len(results)
        for place, tensor in enumerate(results):
            address = storage_pointer(tensor)
            self.forget(address)
            if known:
                self._values[address] = found[place]
        if not known and func._schema.is_mutable:
            for place, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    for tensor in tensors_in(argument_of((place, argument.name), args, kwargs)):
                        self.forget(storage_pointer(tensor))


def _computed(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], values: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """What an operator gives for known numbers; nothing if a result is more than a number."""
    following = iter(values)

    def known(each: Any) -> Any:
        return next(following) if isinstance(each, torch.Tensor) else each

    result = func(*tree_map(known, args), **tree_map(known, kwargs))
    found = list(result) if isinstance(result, (tuple, list)) else [result]
    if all(isinstance(each, torch.Tensor) and each.numel() == 1 for each in found):
        return found
    return []
