"""Compiled kernels as operators of torch: seen by its profiler and by whoever watches a step.

A kernel that is called with the memory of tensors happens behind torch's back: neither its profiler
nor a dispatch mode sees it, and on the meta device, whose tensors have no memory, it cannot run. As
an operator in the namespace ``trainfit`` it does both, for 2 us a call. A schema says what a kernel
reads, what it writes (``Tensor(a!)``), and which of its arguments are workspace: their names begin
with ``scratch``. That is allocated by the caller, as results are, and not inside the operator,
where nobody would see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

NAMESPACE = "trainfit"

P = ParamSpec("P")
R = TypeVar("R")

_library = torch.library.Library(NAMESPACE, "DEF")
_defined: set[tuple[str, str]] = set()
"""Module and schema: a module whose import fails may try again."""


def operator(
    schema: str, *, on_meta: float | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates what an operator does on the CPU; the name then stands for the operator.

    It has no gradient: what is written to is not part of autograd's graph.

    Args:
        schema: Name, arguments and result as torch writes them, ``double(Tensor(a!) x) -> ()``;
            arguments have the names of the function's parameters.
        on_meta: Its result for tensors on the meta device, on which it does nothing else: a number
            in place of one that depends on values.
    """
    name = schema.partition("(")[0]

    def define(compute: Callable[P, R]) -> Callable[P, R]:
        if (compute.__module__, schema) not in _defined:
            _library.define(schema)
            _library.impl(name, compute, "CPU")
            _library.impl(name, lambda *args, **kwargs: on_meta, "Meta")
            _library.impl(name, torch.library.fallthrough_kernel, "Autograd")
            _defined.add((compute.__module__, schema))
        return cast("Callable[P, R]", getattr(getattr(torch.ops, NAMESPACE), name).default)

    return define
