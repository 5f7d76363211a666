"""How long steps on convolutional nets take, beside torch's own layers with autograd.

``pytest tests/benchmarks/test_units.py --benchmark-only -o addopts="" -p no:cacheprovider``

oneDNN is on and there is one thread, as the step would be deployed.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.benchmarks.ratios import Work, compare, onednn
from tests.builders.unit_net import forward
from tests.reference_methods import algorithm_step
from trainfit.algorithms import Category, build_algorithm
from trainfit.algorithms.models import UnitNet

NETS = ("resnet8-3x32x32-10", "ds_cnn-1x49x10-12", "cnn-3x32x32-c20-p-c40-p-c80-g-10")
ROWS = 32

STEPS: dict[str, tuple[str, dict[str, Any], str]] = {
    "backprop": ("backprop", {}, "<= 1.3"),
    "fused": ("backprop", {"update": "fused"}, ""),
    "product": ("backprop", {"update": "product"}, ""),
    "checkpoint": ("backprop", {"checkpoint": 1}, ""),
    "local_head": ("local_head", {}, ""),
    "zeroth_order": ("zeroth_order", {}, ""),
}
"""By name: rule, options, and what the time over that of autograd should be."""


def plain_step(net: str) -> Work:
    """Torch's layers, autograd, and torch's SGD with momentum."""
    algorithm = build_algorithm("backprop", net)
    model = algorithm.model
    assert isinstance(model, UnitNet)
    x, y = torch.rand(ROWS, model.inputs), torch.randint(model.classes, (ROWS,))
    held = list(algorithm.static_tensors())
    trained = [each.tensor for each in held if each.category is Category.PARAMETERS]
    tensors = {each.name: each.tensor for each in held}
    for parameter in trained:
        parameter.requires_grad_()
    optimiser = torch.optim.SGD(trained, lr=0.05, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(forward(model, x, tensors, training=True), y).backward()
        optimiser.step()

    return Work(step, onednn)


@pytest.mark.parametrize("net", NETS)
def test_steps_beside_autograd(benchmark: Any, request: pytest.FixtureRequest, net: str) -> None:
    """A step of every form, batch 32."""
    works = {"autograd": plain_step(net)} | {
        name: Work(algorithm_step(rule, net, ROWS, options).run, onednn)
        for name, (rule, options, _) in STEPS.items()
    }
    asked = {name: words for name, (_, _, words) in STEPS.items() if words}

    rows = compare(benchmark, request, works, asked=asked, rounds=10)

    assert [row.name for row in rows] == list(STEPS)
    assert all(row.found.wall.ratio > 0 for row in rows)
