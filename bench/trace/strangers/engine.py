"""A block in which no operator of torch computes: every one is handed over to a handler.

torch has a dispatch key for tensors without data, ``Fake``, which none of its own code uses but all
of it respects: it comes after autograd and before every device, and numbers of Python's become
tensors without it. Here it is switched on for a thread. A dispatch mode would see the same
operators, but autograd works differently under one: it adds no gradient in place, and some of its
formulas make copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

Handler = Callable[..., Any]

_KEY = "Fake"
_FAKE: Any = torch._C._parse_dispatch_key(_KEY)
_FAKES = torch._C.DispatchKeySet(_FAKE)
_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

_OWN_CODE = ("CPU",)
_IN_OTHER_OPERATORS = (
    "CompositeExplicitAutograd",
    "CompositeImplicitAutograd",
    "CompositeExplicitAutogradNonFunctional",
)

_COMPUTES = frozenset({"aten::copy_", "aten::convolution", "aten::convolution_backward"})
"""Operators whose code for every device works on elements all the same."""

_VIEWS = (
    *("detach", "alias", "view", "_unsafe_view", "t", "transpose.int", "permute", "expand"),
    *("as_strided", "slice.Tensor", "select.int", "unsqueeze", "squeeze", "squeeze.dim"),
)


@contextmanager
def nothing_runs(handler: Handler) -> Iterator[None]:
    """Every operator that this thread calls inside the block is given to ``handler``.

    The commonest ways to look at a tensor are left to torch: they touch no element, and code that
    makes parameters needs them to.

    Args:
        handler: Called with the operator, its arguments by place and by name; what it returns is
            the result.
    """
    with ExitStack() as stack:
        every = stack.enter_context(torch.library._scoped_library("_", "IMPL"))
        every.fallback(handler, _KEY)
        of_torch = stack.enter_context(torch.library._scoped_library("aten", "IMPL"))
        for name in _VIEWS:
            of_torch.impl(name, torch.library.fallthrough_kernel, _KEY)
        stack.enter_context(torch._C._IncludeDispatchKeyGuard(_FAKE))
        yield


@contextmanager
def running() -> Iterator[None]:
    """Operators run inside the block, as torch's own kernels: without handler and autograd."""
    with torch._C._ExcludeDispatchKeyGuard(_FAKES), torch._C._AutoDispatchBelowADInplaceOrView():
        yield


def consists_of_others(func: Any) -> bool:
    """Whether torch has no code of an operator for the CPU but in terms of other operators."""
    found = _composed.get(func)
    if found is None:
        name = func.name()
        if name in _COMPUTES:
            _composed[func] = False
            return False
        has = torch._C._dispatch_has_kernel_for_dispatch_key
        found = not any(has(name, key) for key in _OWN_CODE) and any(
            has(name, key) for key in _IN_OTHER_OPERATORS
        )
        _composed[func] = found
    return found


_composed: dict[Any, bool] = {}


def run_in_parts(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run torch's code of such an operator; the others come to the handler."""
    return func.redispatch(_CPU, *args, **kwargs)
