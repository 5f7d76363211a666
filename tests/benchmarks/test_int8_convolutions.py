"""How fast convolutions of INT8 maps are, beside torch's float32 ones with oneDNN.

``pytest tests/benchmarks/test_int8_convolutions.py --benchmark-only -o addopts=""``

Forward and the gradient of the weight, as a layer's step has them, and the gradient of the input.
INT8 products are without the rounding of their operands and the scaling of their sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from tests.benchmarks.ratios import Work, compare, onednn
from trainfit.algorithms.numerics.int8.convolution.products import (
    int8_convolution,
    int8_convolution_input,
    int8_convolution_weight,
)
from trainfit.algorithms.numerics.int8.convolution.windows import Windows

ROWS = 32
ASKED = "<= 0.67"


class Layer(NamedTuple):
    """Channels and extent of a square map, output channels, window, stride, groups."""

    channels: int
    extent: int
    outputs: int
    window: int = 3
    stride: int = 1
    groups: int = 1


LAYERS = {
    "3x32x32 to 16": Layer(3, 32, 16),
    "16x32x32 to 16": Layer(16, 32, 16),
    "16x32x32 to 32, stride 2": Layer(16, 32, 32, stride=2),
    "32x16x16 to 32": Layer(32, 16, 32),
    "32x16x16 to 64, stride 2": Layer(32, 16, 64, stride=2),
    "64x8x8 to 64": Layer(64, 8, 64),
    "16x32x32 to 32, 1x1, stride 2": Layer(16, 32, 32, 1, 2),
    "64x11x11 to 64, 1x1": Layer(64, 11, 64, 1),
    "128x6x6 to 128, 1x1": Layer(128, 6, 128, 1),
    "64x11x11, depthwise": Layer(64, 11, 64, groups=64),
}
"""Of resnet8; the last three are like those of MobileNets."""


def works(layer: Layer) -> dict[str, Callable[[], object]]:
    """Forward, the weight's gradient and the input's, in float32 and in INT8."""
    window, border = (layer.window, layer.window), layer.window // 2
    where = Windows((layer.stride, layer.stride), (border, border), layer.groups)
    of_weight = layer.outputs, layer.channels // layer.groups, *window
    draws = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randint(-127, 128, shape, dtype=torch.int8, generator=draws)

    x, w = drawn(ROWS, layer.channels, layer.extent, layer.extent), drawn(*of_weight)
    d = drawn(*where.result(x, w))
    floats, weights, gradients = x.float(), w.float(), d.float()
    rest = where.stride, where.padding, (1, 1), False, (0, 0), where.groups
    back, every = torch.ops.aten.convolution_backward, slice(0, layer.outputs)
    return {
        "float32": lambda: torch.ops.aten.convolution(floats, weights, None, *rest),
        "float32 weight": lambda: back(
            gradients, floats, weights, None, *rest, [False, True, False]
        ),
        "float32 input": lambda: back(
            gradients, floats, weights, None, *rest, [True, False, False]
        ),
        "int8": lambda: int8_convolution(x, w, where),
        "int8 weight": lambda: int8_convolution_weight(d, x, window, every, where),
        "int8 input": lambda: int8_convolution_input(d, w, x.shape, where),
    }


@pytest.mark.parametrize("name", LAYERS)
def test_int8_beside_onednn(benchmark: Any, request: pytest.FixtureRequest, name: str) -> None:
    """Batch 32, one thread."""
    run = works(LAYERS[name])

    def step(kind: str) -> Callable[[], object]:
        return lambda: (run[kind](), run[f"{kind} weight"]())

    rows = compare(
        benchmark,
        request,
        {
            "float32 forward + weight": Work(step("float32"), onednn),
            "int8 forward + weight": Work(step("int8")),
            "float32 input": Work(run["float32 input"], onednn),
            "int8 input": Work(run["int8 input"]),
        },
        asked={"int8 forward + weight": ASKED},
        rounds=10,
    )

    assert all(row.found.wall.ratio > 0 for row in rows)
