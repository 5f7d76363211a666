"""Tensors with shapes but no values, so that an algorithm can state its memory without allocating.

torch's meta device has such tensors. Constructors draw and scale weights, whose values are not
needed: what :mod:`trainfit.algorithms.memory.stand_ins` knows stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainfit.algorithms.memory.stand_ins import READ, result_of, value_of


class WithoutValues(TorchDispatchMode):
    """Runs operators on shapes and types only.

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
        return result_of(func, args, kwargs or {})


@contextmanager
def meta_tensors() -> Iterator[None]:
    """Tensors made within the block are on the meta device; nothing is drawn."""
    with torch.device("meta"), WithoutValues(answers=True):
        yield
