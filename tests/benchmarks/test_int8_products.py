"""How fast compiled products of INT8 are, beside the same bits from torch and a product of floats.

``pytest tests/benchmarks/test_int8_products.py --benchmark-only -o addopts="" -p no:cacheprovider``

Which instructions they become is a matter of the processor (``vpmaddwd``, ``vpdpwssd``, ...); that
they are worth it shows in the ratio.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.benchmarks import conclude, interleave, threads
from trainfit.algorithms.numerics.int8 import products
from trainfit.algorithms.numerics.int8.quantise import Int8Kernel

TARGET = 1.0
"""A product of INT8 takes at most as long as one of floats."""


@pytest.mark.parametrize("name", ["int8_linear", "int8_through", "int8_outer"])
def test_compiled_beside_torch(benchmark: Any, request: pytest.FixtureRequest, name: str) -> None:
    """(100, 500) and (500, 500), as in a layer of 500 units with a batch of 100."""
    shapes = {
        "int8_linear": ((100, 500), (500, 500)),
        "int8_through": ((100, 500), (500, 500)),
        "int8_outer": ((100, 500), (100, 500)),
    }[name]
    draws = torch.Generator().manual_seed(0)
    left, right = (
        torch.randint(-127, 128, shape, dtype=torch.int8, generator=draws) for shape in shapes
    )
    product = getattr(products, name)
    floats = left.T.float() if name == "int8_outer" else left.float(), right.float()

    with threads(1):
        watch = interleave(
            benchmark,
            {
                "compiled": lambda: product(left, right, kernel=Int8Kernel.COMPILED),
                "torch": lambda: product(left, right, kernel=Int8Kernel.TORCH),
                "float32": lambda: floats[0] @ floats[1],
            },
            rounds=10,
        )

    conclude(
        request,
        benchmark,
        torch_over_compiled_time=watch.median("torch") / watch.median("compiled"),
        compiled_over_float32_time=watch.median("compiled") / watch.median("float32"),
        compiled_over_float32_time_target=TARGET,
    )
    assert torch.equal(
        product(left, right, kernel=Int8Kernel.COMPILED),
        product(left, right, kernel=Int8Kernel.TORCH),
    )
