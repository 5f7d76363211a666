"""Units follow the gradient of their own goodness, told a label in three ways."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders.unit_net import through
from tests.contract.cases import samples_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.bench.trace.prediction import predict

NET = "cnn-3x8x8-c6-r8s2-c4k5-2"
"""Every unit ends with a rectifier: behind a normalisation all squares have one sum."""
RATE = 0.125


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def scaled(h):
    """Every sample with a mean square of 1."""
    return h * h.flatten(1).pow(2).mean(1).rsqrt()[:, None, None, None]


def after_and_expected(options, loss, given):
    """Parameters after a step, and as autograd moves them by a loss per unit's output."""
    algorithm = build_algorithm("forward_forward", NET, {"momentum": 0.0, "lr": RATE} | options)
    x, y = samples_for(algorithm, 10)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    trained = [
        each.name for each in algorithm.static_tensors() if each.category is Category.PARAMETERS
    ]
    own = {name: tensor.clone().requires_grad_(name in trained) for name, tensor in before.items()}
    state = algorithm.generator.get_state()

    algorithm.step(x, y)

    algorithm.generator.set_state(state)
    h, after = given(algorithm, x, y, before), held(algorithm)
    for unit in algorithm.model.units[:-1]:
        h = through(unit, h, own, training=True)
        loss(h, y).backward()
        h = scaled(h.detach())
    ours = {name: (before[name] - after[name]) / RATE for name in trained}
    return ours, {name: own[name].grad for name in trained}


def close(ours, expected):
    return {
        name
        for name, gradient in expected.items()
        if not torch.allclose(ours[name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max())
    } == set()


def as_map(algorithm, x, y, before):
    return x.view(-1, *algorithm.model.shape)


@pytest.mark.parametrize("goodness", ["sum", "mean", "relu_mean"])
def test_channels_of_a_class_compete_by_cross_entropy(goodness):
    def loss(h, y):
        parts = h.view(len(h), 2, -1)
        per_class = {
            "sum": parts.pow(2).sum(2),
            "mean": parts.pow(2).mean(2),
            "relu_mean": parts.mean(2),
        }[goodness]
        return functional.cross_entropy(per_class, y)

    assert close(*after_and_expected({"labels": "channels", "goodness": goodness}, loss, as_map))


@pytest.mark.parametrize("labels", ["pixels", "plane"])
@pytest.mark.parametrize("kind", ["logistic", "symba"])
def test_right_and_wrong_labels_are_told_apart(labels, kind):
    def given(algorithm, x, y, before):
        wrong = torch.empty_like(y).random_(1, 2, generator=algorithm.generator)
        maps = as_map(algorithm, x, y, before).repeat(2, 1, 1, 1)
        told = torch.cat((y, (wrong + y) % 2))
        if labels == "plane":
            return scaled(torch.cat((maps, before["patterns"][told][:, None]), 1))
        maps.flatten(1)[:, :2] = functional.one_hot(told, 2).float()
        return scaled(maps)

    def loss(h, y):
        goodness = h.flatten(1).pow(2).mean(1)
        right, wrong = goodness[: len(y)], goodness[len(y) :]
        if kind == "symba":
            return functional.softplus(-4.0 * (right - wrong)).mean()
        return (functional.softplus(1.0 - right) + functional.softplus(wrong - 1.0)).mean()

    options = {"labels": labels, "loss": kind, "passes": "joint", "goodness": "mean"}
    assert close(*after_and_expected(options, loss, given))


def test_no_unit_hears_of_a_later_one():
    runs = []
    for disturbed in (False, True):
        algorithm = build_algorithm("forward_forward", NET, {"labels": "channels"})
        if disturbed:
            held(algorithm)["unit3.conv1.weight"].mul_(-1.0)
        algorithm.step(*samples_for(algorithm, 6))
        runs.append(held(algorithm))
    same = [name for name in runs[0] if name.startswith(("unit1", "unit2"))]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in same)


def test_channels_take_half_the_rows_of_labels_told_at_once():
    peaks = {
        options["labels"]: predict(build_algorithm("forward_forward", NET, options), 32).peak_bytes
        for options in ({"labels": "channels"}, {"labels": "pixels", "passes": "joint"})
    }
    assert peaks["channels"] < 0.6 * peaks["pixels"]


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (NET, {"peer": 0.1}, "option 'peer' of forward_forward is for fully connected nets"),
        (NET, {"implementation": "autograd"}, "is for fully connected nets"),
        (NET, {"goodness": "relu_mean"}, "needs labels=channels"),
        (NET, {"labels": "channels", "passes": "joint"}, "passes has no effect"),
        (NET, {"labels": "channels", "threshold": 2.0}, "threshold has no effect"),
        (
            "resnet8-3x32x32-10",
            {"labels": "channels"},
            r"unit conv1 of 'resnet8-3x32x32-10' has 16 for 10 classes; use multiples of 10",
        ),
        ("cnn-1x3x3-c4-10", {}, "over the first 10 values of a sample, .* has 9"),
        ("mlp-64-32-10", {"labels": "plane"}, "labels=plane is for convolutional nets"),
    ],
)
def test_what_does_not_go_together_is_refused(model, options, words):
    with pytest.raises(ConfigurationError, match=words):
        build_algorithm("forward_forward", model, options)
