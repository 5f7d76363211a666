"""``update=product``: the step of ``update=fused`` without the gradient of any weight."""

from __future__ import annotations

import pytest
import torch

from tests.contract.cases import batch_for
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.bench.trace.prediction import predict

NET = "mlp-64-128-128-10"
DEEP = "mlp-24-16-32-8-16-12-4"


def kept(algorithm):
    return {each.name: each.tensor.detach() for each in algorithm.static_tensors()}


def both(options, steps, model=NET, rows=8):
    """What is kept after some steps with ``update=fused`` and ``update=product``."""
    found = []
    for update in ("fused", "product"):
        algorithm = build_algorithm("backprop", model, {**options, "update": update})
        for seed in range(steps):
            algorithm.step(*batch_for(algorithm, rows, seed))
        found.append(kept(algorithm))
    return found


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 1_576), (8, 12_608), (32, 50_432), (128, 201_728)]
)
def test_bytes_are_those_of_a_step_written_by_hand(rows, expected):
    """4 B (128 + 128 + 128 + 10): both hidden layers, the gradients of logits and of the second."""
    plan = predict(build_algorithm("backprop", NET, {"update": "product"}), rows)
    assert plan.peak_bytes == expected
    assert plan.device_bytes <= expected
    assert expected == 4 * rows * (3 * 128 + 10)


@pytest.mark.parametrize("options", [{}, {"checkpoint": 2}, {"loss": "binary_cross_entropy"}])
@pytest.mark.parametrize("rows", [8, 100])
def test_a_first_step_has_the_bits_of_the_fused_one(options, rows):
    """From a momentum of 0: the product is the first thing that is added to it."""
    fused, product = both(options, steps=1, rows=rows)
    for name, tensor in fused.items():
        assert torch.equal(tensor, product[name]), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.0, "weight_decay": 0.01},
        {"nesterov": True, "weight_decay": 0.01},
        {"checkpoint": 2},
        {"optimizer": "adam", "lr": 0.001},
    ],
)
def test_twenty_steps_differ_by_roundings(options):
    """By a few units in the last place of the largest value of a tensor."""
    fused, product = both(options, steps=20)
    for name, tensor in fused.items():
        off = (tensor - product[name]).abs().max() / tensor.abs().max()
        assert off < 2e-6, name


def test_a_net_without_hidden_layers_takes_the_same_step():
    fused, product = both({}, steps=1, model="mlp-64-10")
    assert all(torch.equal(tensor, product[name]) for name, tensor in fused.items())


@pytest.mark.parametrize("checkpoint", [0, 1, 2, 3, 4, 5, 9])
def test_what_is_recomputed_is_what_was_kept(checkpoint):
    """All bits, in every segmentation of five hidden layers."""
    found = []
    for options in ({}, {"checkpoint": checkpoint}):
        algorithm = build_algorithm("backprop", DEEP, {"update": "product", **options})
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 6, seed))
        found.append(kept(algorithm))
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_recomputing_saves_activations():
    def need(checkpoint):
        options = {"update": "product", "checkpoint": checkpoint}
        return predict(build_algorithm("backprop", "mlp-20-40x9-3", options), 16)

    whole, parts = need(0), need(3)
    assert whole.peak_bytes == 4 * 16 * (9 * 40 + 40 + 3)
    # outputs 3, 6 and 9, that of layer 8 or 7, and two gradients
    assert parts.peak_bytes < whole.peak_bytes / 1.5
    assert parts.operations.total().macs.total() > whole.operations.total().macs.total()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_no_gradient_of_a_weight_is_ever_whole(optimizer):
    algorithm = build_algorithm("backprop", NET, {"update": "product", "optimizer": optimizer})
    weights = [t.numel() for name, t in kept(algorithm).items() if name in {"w1", "w2", "w3"}]
    made = [each for each in predict(algorithm, 1).trace.storages if not each.found]
    assert max(each.size for each in made) <= 4 * max(weights) // 16


def test_a_weight_moves_after_the_gradient_has_passed_it(monkeypatch):
    """At the moment at which a weight moves, all above it have, none below, and no bias below."""
    algorithm = build_algorithm("backprop", NET, {"update": "product", "lr": 0.5})
    before = {name: tensor.clone() for name, tensor in kept(algorithm).items()}
    moved = []
    move = Sgd.apply_product

    def apply_product(self, name, parameter, left, right):
        now = kept(algorithm)
        moved.append({each for each in before if not torch.equal(now[each], before[each])})
        move(self, name, parameter, left, right)

    monkeypatch.setattr(Sgd, "apply_product", apply_product)
    algorithm.step(*batch_for(algorithm, 8, 0))

    parameters = [{name for name in each if "." not in name} for each in moved]
    assert parameters == [{"b3"}, {"b3", "w3", "b2"}, {"b3", "w3", "b2", "w2", "b1"}]
