"""The promise that ``static_tensors`` lists every tensor that a rule keeps, and nothing twice.

Tensors are looked for in two ways: among what can be reached from the rule through attributes and
containers, and among what the operators of a step are given and no operator of it has made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainfit.algorithms import Algorithm, Category, StaticTensor
from trainfit.bench.profiler.attribution import describe
from trainfit.bench.profiler.places import user_line
from trainfit.bench.promises.finding import BrokenPromiseError

Path = tuple[str, ...]
"""Attributes and places that lead to a tensor: ``("optimiser", "state", "[0]")``."""

_PLAIN = (
    *(type, str, bytes, int, float, complex, torch.Generator, torch.dtype, ModuleType),
    *(FunctionType, BuiltinFunctionType, MethodType),
)
_CLOSED = ("builtins", "torch", "numpy", "numba", "pydantic", "pydantic_core", "threading")
"""Packages whose objects hold no tensors of a rule's; torch's optimisers and modules do."""
_OPEN = ("torch.optim", "torch.nn.modules")


def reachable(root: object) -> Iterator[tuple[Path, torch.Tensor]]:
    """Tensors that can be reached from an object through attributes and containers, each once."""
    seen: set[int] = set()
    queue: list[tuple[Path, Any]] = [((), root)]
    while queue:
        path, thing = queue.pop()
        if id(thing) in seen or isinstance(thing, _PLAIN):
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            yield path, thing
            if thing.grad is not None:
                queue.append(((*path, "grad"), thing.grad))
        else:
            queue += [((*path, name), each) for name, each in _inside(thing)]


def _inside(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        for number, (key, value) in enumerate(thing.items()):
            yield f"[key {number}]", key
            yield f"[{key!r}]" if isinstance(key, (str, int)) else f"[{number}]", value
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from ((f"[{number}]", each) for number, each in enumerate(thing))
    elif _may_hold(type(thing).__module__):
        yield from getattr(thing, "__dict__", {}).items()
        for cls in type(thing).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(thing, name):
                    yield name, getattr(thing, name)


def _may_hold(module: str) -> bool:
    return module.startswith(_OPEN) or module.partition(".")[0] not in _CLOSED


def named_once(algorithm: Algorithm[Any]) -> None:
    """What is listed has a name of its own, a category, and is a tensor.

    Raises:
        BrokenPromiseError: Something is not so.
    """
    where = type(algorithm).static_tensors
    names: set[str] = set()
    for held in algorithm.static_tensors():
        if not isinstance(held, StaticTensor) or not isinstance(held.tensor, torch.Tensor):
            raise BrokenPromiseError(
                f"static_tensors gives a {type(held).__name__}; it gives"
                " StaticTensor(name, tensor, category)",
                where,
            )
        if held.category not in set(Category):
            raise BrokenPromiseError(f"{held.name}: {held.category!r} is no Category", where)
        if held.name in names:
            raise BrokenPromiseError(f"static_tensors names two tensors {held.name!r}", where)
        names.add(held.name)


def hidden(algorithm: Algorithm[Any]) -> dict[Path, torch.Tensor]:
    """What can be reached and is not listed, by the way to it."""
    listed = {_address(held.tensor) for held in algorithm.static_tensors()}
    return {
        path: tensor
        for path, tensor in reachable(algorithm)
        if tensor.numel() and _address(tensor) not in listed
    }


def all_listed(algorithm: Algorithm[Any], growing: frozenset[Path] = frozenset()) -> None:
    """Every tensor that can be reached is listed.

    Args:
        algorithm: After a step.
        growing: Containers that every step adds to: what they hold is a leak, and said there.

    Raises:
        BrokenPromiseError: One is not.
    """
    for path, tensor in sorted(hidden(algorithm).items()):
        if path[:-1] not in growing:
            raise BrokenPromiseError(
                f"{_written(path)} ({describe(tensor)}, {tensor.nbytes:,} B) is kept and not"
                " listed: yield a StaticTensor for it",
                type(algorithm).static_tensors,
            )


def that_grow(before: Mapping[Path, Any], after: Mapping[Path, Any]) -> frozenset[Path]:
    """The containers with more hidden tensors after a step than before it."""
    return frozenset(path[:-1] for path in after if path not in before)


class _Touched(TorchDispatchMode):
    """Gathers the storages that operators are given and no operator has made."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = known
        self.found: dict[int, tuple[torch.Tensor, str]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: that wraps every call, and the first of them imports torch's compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and look at what it is given."""
        kwargs = kwargs or {}
        fresh = func is torch.ops.aten.lift_fresh.default  # numbers of Python's
        for each in tree_leaves((args, kwargs)):
            if isinstance(each, torch.Tensor) and each.numel():
                address = _address(each)
                if address not in self._known:
                    self._known.add(address)
                    if not fresh:  # held, so that nothing else gets its address
                        self.found[address] = each, user_line(sys._getframe(1))
        result = func(*args, **kwargs)
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor):
                self._known.add(_address(each))
        return result


def touches_only_listed(algorithm: Algorithm[Any], x: torch.Tensor, y: torch.Tensor) -> None:
    """Two steps work on nothing that was there before but the batch and what is listed.

    Raises:
        BrokenPromiseError: Both are given the same tensor that is not listed.
    """
    found = []
    for _ in range(2):
        listed = (held.tensor for held in algorithm.static_tensors())
        with _Touched({_address(each) for each in (x, y, *listed)}) as touched:
            algorithm.step(x, y)
        found.append(touched.found)
    first, second = found
    reached = {_address(tensor) for _, tensor in reachable(algorithm)}
    for address, (tensor, line) in first.items():
        if address in second and address not in reached:  # of the others more can be said
            raise BrokenPromiseError(
                f"a step uses a tensor ({describe(tensor)}, {tensor.nbytes:,} B) that is there"
                " from step to step and not listed: yield a StaticTensor for it",
                line or type(algorithm).step,
            )


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _written(path: Path) -> str:
    text = "self"
    for each in path:
        text += each if each.startswith("[") else f".{each}"
    return text
