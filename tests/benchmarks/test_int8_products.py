"""How fast compiled products of INT8 are, beside oneDNN's of the same numbers and one of floats.

``pytest tests/benchmarks/test_int8_products.py --benchmark-only -o addopts="" -p no:cacheprovider``

Which instructions they become is a matter of the processor (``vpmaddwd``, ``vpdpbusd``, ...).
oneDNN's product, as ``torch._int_mm`` has it, shows what the core reaches; with oneDNN off, as
bytes are measured, that function is no alternative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from tests.benchmarks.ratios import Work, compare, onednn
from trainfit.algorithms.numerics.int8 import products
from trainfit.algorithms.numerics.int8.quantise import Int8Kernel

ASKED = {"onednn": ">= 0.8", "float32": ">= 1"}

Pair = tuple[torch.Tensor, torch.Tensor]


class Case(NamedTuple):
    """A product: ours, the shapes of what it gets, and the factors that are multiplied."""

    product: Callable[..., torch.Tensor]
    left: tuple[int, int]
    right: tuple[int, int]
    factors: Callable[[torch.Tensor, torch.Tensor], Pair]


def linear(left: tuple[int, int], right: tuple[int, int]) -> Case:
    """A layer's output: weights are transposed."""
    return Case(products.int8_linear, left, right, lambda h_BI, w_OI: (h_BI, w_OI.t()))


CASES = {
    "forward 64x784x1000": linear((64, 784), (1000, 784)),
    "forward 64x1000x1000": linear((64, 1000), (1000, 1000)),
    "forward 200x2000x2000": linear((200, 2000), (2000, 2000)),
    "forward 1024x1024x1024": linear((1024, 1024), (1024, 1024)),
    "back 64x1000x1000": Case(
        products.int8_grad_input, (64, 1000), (1000, 1000), lambda d_BO, w_OI: (d_BO, w_OI)
    ),
    "weights 1000x64x784": Case(
        products.int8_grad_weight, (64, 1000), (64, 784), lambda d_BO, h_BI: (d_BO.t(), h_BI)
    ),
    "weights 1000x64x1000": Case(
        products.int8_grad_weight, (64, 1000), (64, 1000), lambda d_BO, h_BI: (d_BO.t(), h_BI)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_compiled_beside_onednn_and_floats(
    benchmark: Any, request: pytest.FixtureRequest, name: str
) -> None:
    """Layers of 784 and 1000 units with 64 rows, which are a batch of 32 and its negatives.

    The ratio of ``onednn`` is the share of its speed that ours reaches.
    """
    product, left, right, factors = CASES[name]
    draws = torch.Generator().manual_seed(0)
    a, b = (
        torch.randint(-127, 128, shape, dtype=torch.int8, generator=draws)
        for shape in (left, right)
    )
    one, other = factors(a, b)
    floats = one.float(), other.float()
    operations = 2 * one.shape[0] * one.shape[1] * other.shape[1]

    compare(
        benchmark,
        request,
        {
            "ours": Work(lambda: product(a, b), operations=operations),
            "onednn": Work(lambda: torch._int_mm(one, other), onednn, operations),
            "float32": Work(lambda: floats[0] @ floats[1], operations=operations),
        },
        asked=ASKED,
    )

    found = product(a, b)
    assert torch.equal(found, product(a, b, kernel=Int8Kernel.TORCH))
    with onednn():
        assert torch.equal(found, torch._int_mm(one, other))
