"""What watching a step costs: no compiler of torch's, and no walk through what holds no tensor."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils._pytree import tree_leaves

from trainfit.bench.profiler import attribution
from trainfit.bench.profiler.attribution import Attribution, _tensors_in


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


A, B = torch.ones(2), torch.nn.Parameter(torch.ones(3))

TREES: list[Any] = [
    A,
    None,
    ([A, 2, None, "mean", torch.float32], {"out": B, "dim": (0, 1)}),
    ((A, [B, (A,)]), {}),
    (Pair(A, B), OrderedDict(a=A), torch.Size([1, 2]), slice(0, 1)),
]


@pytest.mark.parametrize("tree", TREES, ids=range(len(TREES)))
def test_the_tensors_are_those_of_torchs_own_walk_in_its_order(tree: Any) -> None:
    right = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
    assert list(map(id, _tensors_in(tree))) == list(map(id, right))


def test_torchs_walk_is_left_to_what_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "tree_leaves", None)
    for tree in TREES[:4]:
        _tensors_in(tree)


def test_no_call_is_wrapped_by_torchs_compiler() -> None:
    """It would be imported for that, which takes seconds, in every process that measures."""
    assert not hasattr(Attribution.__torch_dispatch__, "__wrapped__")
