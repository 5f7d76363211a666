"""The learning rate of backpropagation falls from pass to pass, in every form of the rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainfit.algorithms import Algorithm, build_algorithm

FORMS = [
    ("mlp-6-8-4", {}),
    ("mlp-6-8-4", {"update": "fused"}),
    ("mlp-6-8-4", {"update": "product"}),
    ("mlp-6-8-4", {"weights": "binary"}),
    ("mlp-6-8-4", {"slices": 2}),
    ("cnn-1x4x4-c2b-g-4", {}),
    ("cnn-1x4x4-c2b-g-4", {"update": "product"}),
]


@pytest.mark.parametrize(("model", "options"), FORMS)
def test_a_step_of_the_last_passes_is_a_tenth(model: str, options: dict[str, Any]) -> None:
    """Of plain descent, from the same weights, with the same batch."""
    constant = moved(model, options | {"decay": "constant"}, epoch=4)
    decayed = moved(model, options | {"decay": "step"}, epoch=4)

    assert any(change.abs().max() > 1e-4 for change in constant.values())
    for name, change in constant.items():
        torch.testing.assert_close(decayed[name], 0.1 * change, rtol=1e-2, atol=1e-7)


def moved(model: str, options: dict[str, Any], *, epoch: int) -> dict[str, torch.Tensor]:
    """How far every parameter moves in one step of pass ``epoch`` of five."""
    algorithm = build_algorithm("backprop", model, {"momentum": 0.0, "lr": 0.1} | options, seed=0)
    algorithm.begin_epoch(epoch, 5)
    before = parameters(algorithm)
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(8, algorithm.model.inputs, generator=draws)
    algorithm.step(x, torch.arange(8) % 4)
    return {name: after - before[name] for name, after in parameters(algorithm).items()}


def parameters(algorithm: Algorithm[Any]) -> dict[str, torch.Tensor]:
    return {
        each.name: each.tensor.detach().clone()
        for each in algorithm.static_tensors()
        if each.category == "parameters"
    }
