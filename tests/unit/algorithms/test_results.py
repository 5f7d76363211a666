"""Results of operators for tensors without data: shapes, types and order in memory are torch's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainfit.algorithms.memory.meta import meta_tensors

aten = torch.ops.aten

OPERATORS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Any]] = {
    "add": lambda a, b, c: torch.add(a, b, alpha=2),
    "addcmul": torch.addcmul,
    "by a number": lambda a, b, c: aten.mul.Scalar(a, 2.5),
    "clone": lambda a, b, c: a.clone(),
    "compare": lambda a, b, c: a > 0.5,
    "divide": lambda a, b, c: torch.div(a, b),
    "empty_like": lambda a, b, c: torch.empty_like(a, dtype=torch.int8),
    "exp": lambda a, b, c: a.exp(),
    "to": lambda a, b, c: a.to(torch.float64),
}


def random_tensor(shape: list[int], rng: random.Random) -> torch.Tensor:
    """In any order in memory, with gaps, with sizes of 1, repeated."""
    sizes = [n if rng.random() < 0.8 else 1 for n in shape]
    order = rng.sample(range(len(sizes)), len(sizes))
    room = [sizes[place] * rng.choice([1, 1, 1, 2]) for place in order]
    tensor = torch.rand(room).permute([order.index(place) for place in range(len(sizes))])
    tensor = tensor[tuple(slice(0, n) for n in sizes)]
    if rng.random() < 0.3:
        pairs = zip(sizes, shape, strict=True)
        tensor = tensor.expand([n if own == 1 and rng.random() < 0.5 else own for own, n in pairs])
    return tensor[0] if tensor.dim() and rng.random() < 0.2 else tensor


def looks(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Shape, type, and strides where there is more than one element to step over."""
    strides = [by for by, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
    return tensor.shape, tensor.dtype, strides


def without_values(tensor: torch.Tensor) -> torch.Tensor:
    base = torch.empty(tensor.untyped_storage().nbytes() // 4, device="meta")
    return base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


@pytest.mark.parametrize("name", OPERATORS)
def test_the_order_in_memory_is_torchs(name: str) -> None:
    rng = random.Random(1)
    for _ in range(300):
        shape = [rng.randint(1, 4) for _ in range(rng.randint(0, 4))]
        real = [random_tensor(shape, rng) for _ in range(3)]
        right = OPERATORS[name](*real)
        with meta_tensors():
            found = OPERATORS[name](*map(without_values, real))
        assert found.is_meta
        assert looks(found) == looks(right), [(e.shape, e.stride()) for e in real]


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(2, 9),
        lambda: torch.arange(0, 7, 3),
        lambda: torch.arange(0, 1, 0.25),
        lambda: torch.full((2, 3), 1.5),
        lambda: torch.full((2, 3), 1),
        lambda: torch.full((2, 3), True),
        lambda: torch.ones(3, dtype=torch.int8),
        lambda: torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        lambda: torch.empty(2, 3, 4, 5, memory_format=torch.channels_last),
        lambda: torch.tensor([1, 2]),
        lambda: torch.tensor(0.5),
        lambda: torch.rand(4).new_zeros(2, 3),
        lambda: torch.rand(4).new_empty((2, 3), dtype=torch.bool),
        lambda: torch.ones(3, 4).sum(),
        lambda: torch.ones(3, 4, dtype=torch.int32).sum(),
        lambda: torch.ones(3, 4, dtype=torch.int32) / 2,
        lambda: torch.ones(3, 4).argmax(dim=1),
        lambda: torch.ones(3, 4).argmax(),
        lambda: torch.cat([torch.ones(3, 4), torch.ones(2, 4)]),
        lambda: torch.cat([torch.ones(3, 4), torch.ones(3, 2)], dim=-1),
        lambda: torch.cat([torch.ones(3, 4), torch.ones(3, 2, dtype=torch.int32)], dim=1),
        lambda: torch.ones(3, 4).index_select(1, torch.tensor([0, 0, 2])),
        lambda: torch.nn.functional.binary_cross_entropy_with_logits(
            torch.ones(3, 4), torch.ones(3, 4)
        ),
        lambda: torch.nn.functional.binary_cross_entropy_with_logits(
            torch.ones(3, 4), torch.ones(3, 4), reduction="none"
        ),
    ],
    ids=range(24),
)
def test_what_is_made_has_the_shape_and_type_of_torchs(make: Callable[[], torch.Tensor]) -> None:
    right = make()
    with meta_tensors():
        found = make()
    assert found.is_meta
    assert looks(found) == looks(right)
