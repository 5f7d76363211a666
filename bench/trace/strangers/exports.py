"""Ways from a tensor's elements to Python that are no operators: ``numpy``, ``tolist``, text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

from trainfit.bench.profiler.attribution import describe
from trainfit.bench.trace.strangers.watcher import Watcher

_HANDED_OUT = frozenset({"numpy", "__array__", "__dlpack__", "__array_interface__"})
_SHOWN = frozenset({"__repr__", "__str__", "__format__"})


class Exports(TorchFunctionMode):
    """Answers where it can, and otherwise lets the watcher refuse."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self._watcher = watcher

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], torch.Tensor):
            if name == "tolist":
                return self._watcher.answer_list(args[0])
            if name in _SHOWN and (args[0].dim() or name == "__repr__"):
                return f"tensor({describe(args[0])})"
            if name in _HANDED_OUT:
                self._watcher.refuse_export(args[0], name.strip("_"))
        return func(*args, **(kwargs or {}))


@contextmanager
def states_of_generators(watcher: Watcher) -> Iterator[None]:
    """Tells the watcher of copies of a generator's state, which checkpoints keep."""
    get = torch.get_rng_state

    def watched() -> torch.Tensor:
        state = get()
        watcher.made_elsewhere(state)
        return state

    with (
        mock.patch.object(torch, "get_rng_state", watched),
        mock.patch.object(torch.random, "get_rng_state", watched),
    ):
        yield
