"""Every unit follows the gradient of its own head's loss and of no other."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders.unit_net import through
from tests.contract.cases import samples_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.nets.head_pool import window_for
from trainfit.bench.trace.prediction import predict

NET = "cnn-3x8x8-c6-i6-e8s2-g-4"
RATE = 0.125


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


@pytest.mark.parametrize("head", ["trained", "fixed"])
@pytest.mark.parametrize("most", [1024, 100])
def test_units_and_heads_follow_the_gradient_of_their_local_loss(head, most):
    options = {"momentum": 0.0, "lr": RATE, "head": head, "head_features": most}
    algorithm = build_algorithm("local_head", NET, options)
    x, y = samples_for(algorithm, 12)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    trained = [
        each.name for each in algorithm.static_tensors() if each.category is Category.PARAMETERS
    ]
    own = {name: tensor.clone().requires_grad_(name in trained) for name, tensor in before.items()}

    algorithm.step(x, y)

    h, label = x.view(-1, *algorithm.model.shape), "head" if head == "fixed" else "classifier"
    *units, _ = algorithm.model.units
    for unit in units:
        h = through(unit, h, own, training=True)
        seen = h
        if unit is not units[-1]:
            window = window_for(tuple(h.shape[1:]), most)
            seen = functional.avg_pool2d(h, window)
        assert seen.flatten(1).shape[1] == own[f"{unit.name}.{label}.weight"].shape[1]
        bias = own.get(f"{unit.name}.{label}.bias")
        scores = functional.linear(seen.flatten(1), own[f"{unit.name}.{label}.weight"], bias)
        functional.cross_entropy(scores, y).backward()
        h = h.detach()
    after = held(algorithm)
    for name in trained:
        ours = (before[name] - after[name]) / RATE
        assert torch.allclose(ours, own[name].grad, rtol=1e-3, atol=1e-5), name
    heads = [name for name in before if f".{label}." in name]
    assert len(heads) == (3 if head == "fixed" else 6)
    assert all(torch.equal(before[n], after[n]) == (head == "fixed") for n in heads)


def test_no_unit_hears_of_a_later_one():
    runs = []
    for disturbed in (False, True):
        algorithm = build_algorithm("local_head", NET, {})
        if disturbed:
            held(algorithm)["unit3.classifier.weight"].add_(1.0)
        algorithm.step(*samples_for(algorithm, 6))
        runs.append(held(algorithm))
    same = [name for name in runs[0] if name.startswith(("unit1", "unit2"))]
    assert same
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in same)
    assert not torch.equal(runs[0]["unit3.conv1.weight"], runs[1]["unit3.conv1.weight"])


def test_a_stage_trains_its_unit_alone():
    algorithm = build_algorithm("local_head", NET, {"schedule": "greedy"})
    assert algorithm.stages == ("unit1", "unit2", "unit3")
    algorithm.enter_stage(1)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    algorithm.step(*samples_for(algorithm, 6))
    changed = {n for n, t in held(algorithm).items() if not torch.equal(t, before[n])}
    assert changed
    assert all(name.startswith("unit2.") for name in changed)
    idle = {each.name for each in algorithm.static_tensors() if each.storage}
    assert {"unit3.conv1.weight", "unit1.classifier.weight"} <= idle
    assert not any(name.startswith("unit2") or name == "unit1.conv1.weight" for name in idle)


def test_what_is_alive_is_that_of_one_unit():
    """Twice as deep, no more bytes at a time; backpropagation keeps all of it."""
    deep, deeper = "cnn-3x16x16-c8-r8-r8-g-10", "cnn-3x16x16-c8-r8-r8-r8-r8-r8-r8-g-10"
    grown = {
        rule: predict(build_algorithm(rule, deeper), 16).peak_bytes
        / predict(build_algorithm(rule, deep), 16).peak_bytes
        for rule in ("local_head", "backprop")
    }
    assert grown["local_head"] < 1.01
    assert grown["backprop"] > 1.8


@pytest.mark.parametrize(
    ("shape", "most", "window"),
    [
        ((16, 32, 32), 1024, 4),
        ((16, 32, 32), 16 * 32 * 32, 1),
        ((16, 32, 32), 1, 32),
        ((64, 25, 5), 1024, 3),
        ((2000, 1, 1), 1024, 1),
    ],
)
def test_windows_leave_no_more_features_than_asked(shape, most, window):
    assert window_for(shape, most) == window


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "predsim"}, "option 'loss' of local_head is for fully connected nets"),
        ({"batch_norm": True}, "units have their own"),
        ({"keep": 0.9}, "nothing is dropped between units"),
        ({"parts": 2}, "a unit's gradients are made whole"),
    ],
)
def test_options_of_layers_are_refused_by_name(options, words):
    with pytest.raises(ConfigurationError, match=words):
        build_algorithm("local_head", NET, options)


def test_options_of_units_are_refused_for_layers():
    with pytest.raises(ConfigurationError, match="its heads see all units: leave it out"):
        build_algorithm("local_head", "mlp-64-32-10", {"head_features": 100})
