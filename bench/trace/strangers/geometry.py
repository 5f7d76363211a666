"""What an operator's schema says of its results, and operators that only look at tensors."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

aten = torch.ops.aten

ONLY_GEOMETRY = frozenset(
    {
        aten._unsafe_view.default,
        aten._reshape_alias.default,
        aten.lift_fresh.default,
        aten.lift.default,
        aten.alias.default,
        aten.detach_.default,
        aten.set_.source_Tensor,
        aten.set_.source_Tensor_storage_offset,
        aten.set_.source_Storage,
        aten.set_.source_Storage_storage_offset,
        aten.set_.default,
        aten.squeeze_.default,
        aten.squeeze_.dim,
        aten.unsqueeze_.default,
        aten.t_.default,
        aten.transpose_.default,
        aten.as_strided_.default,
    }
)
"""Operators that share or change how a storage is looked at, and compute nothing."""

RESIZE = frozenset({aten.resize_.default, aten.resize_as_.default})

REAL = frozenset({aten.randperm.default, aten.randperm.generator})
"""Operators that are run: what they give depends on no data, and chooses among it."""

BY_MASK = frozenset(
    {
        aten.index.Tensor,
        aten.index_put.default,
        aten.index_put_.default,
        aten._index_put_impl_.default,
        aten._unsafe_index.Tensor,
        aten._unsafe_index_put.default,
    }
)
"""Operators with a list of indices, among which a mask may be."""


@cache
def returned_arguments(func: Any) -> tuple[tuple[int, str] | None, ...]:
    """Per result, the place and name of the argument that it is; None for a new tensor."""
    arguments = func._schema.arguments
    found: list[tuple[int, str] | None] = []
    for result in func._schema.returns:
        alias = result.alias_info
        same = None
        if alias is not None and alias.is_write:
            for place, argument in enumerate(arguments):
                own = argument.alias_info
                if own is not None and own.before_set & alias.before_set:
                    same = (place, argument.name)
        found.append(same)
    return tuple(found)


@cache
def gives_no_tensor(func: Any) -> bool:
    """Whether an operator answers a question, as one that compares shapes."""
    results = func._schema.returns
    return bool(results) and not any("Tensor" in str(each.type) for each in results)


@cache
def gives_as_many_as_there_are(func: Any) -> bool:
    """Whether the size of the result depends on values: ``nonzero``."""
    return torch.Tag.dynamic_output_shape in func.tags and func not in BY_MASK
