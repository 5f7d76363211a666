"""Backpropagation and Forward-Forward on nets of units with binary weights and activations."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders import unit_net
from tests.builders.binary_units import Binary, as_products_see_it, without_ties
from tests.builders.unit_net import forward, through
from tests.contract.cases import samples_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.blocks.block import Pass, Statistics
from trainfit.algorithms.blocks.sliced import layer
from trainfit.algorithms.models.layers import Nonlinearity

NET = "cnn-3x8x8-c8-d8-r8-p-i12s2-f12-4"
"""Depthwise, residual, a pool, a dense layer; every unit has channels for each of four classes."""

FORMS = [
    {"weights": "binary"},
    {"activations": "binary"},
    {"weights": "binary", "activations": "binary"},
]
IDS = ["weights", "activations", "binary"]


@pytest.fixture(autouse=True)
def of_many_parts(monkeypatch):
    monkeypatch.setattr(layer, "_LEAST", 0)  # so that parts of a small net are few of many


@pytest.fixture
def with_functions_of(monkeypatch):
    def of(form):
        if "activations" in form:
            for function in Nonlinearity:
                monkeypatch.setitem(unit_net._FUNCTIONS, function, Binary.apply)

    return of


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def gradients_of(algorithm, x, y):
    """What a step gives to its optimiser."""
    taken = {}
    algorithm._optimiser.apply = lambda name, _, gradient: taken.update({name: gradient.clone()})
    algorithm.step(x, y)
    return taken


def assert_alike(ours, own):
    for name, gradient in ours.items():
        expected = own[name].grad
        apart, size = (float(each.norm()) for each in (gradient - expected, expected))
        assert gradient.shape == expected.shape
        assert apart < 1e-3 * size + 1e-5, name
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in ours.values())


@pytest.mark.parametrize("saving", [{}, {"update": "fused"}, {"checkpoint": 2}], ids=str)
@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_backpropagation_follows_the_gradient_of_the_loss(form, saving, with_functions_of):
    with_functions_of(form)
    algorithm = build_algorithm("backprop", NET, {**form, **saving})
    without_ties(algorithm)
    x, y = samples_for(algorithm, 18)
    own = as_products_see_it(algorithm)

    ours = gradients_of(algorithm, x, y)

    functional.cross_entropy(forward(algorithm.model, x.double(), own, training=True), y).backward()
    assert set(ours) == {name for name, tensor in own.items() if tensor.requires_grad}
    assert_alike(ours, own)


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_a_units_goodness_is_followed_within_the_unit(form, with_functions_of):
    with_functions_of(form)
    algorithm = build_algorithm("forward_forward", NET, {"labels": "channels", **form})
    without_ties(algorithm)
    x, y = samples_for(algorithm, 18)
    own = as_products_see_it(algorithm)

    ours = gradients_of(algorithm, x, y)

    h = x.double().view(-1, *algorithm.model.shape)
    for unit in algorithm.model.units[:-1]:
        h = through(unit, h.detach(), own, training=True)
        goodness = h.reshape(len(h), 4, -1).square().sum(2)
        functional.cross_entropy(goodness, y).backward()
        h = h / h.flatten(1).square().mean(1).sqrt().view(-1, *(1 for _ in h.shape[1:]))
    assert set(ours) == {name for name, tensor in own.items() if tensor.requires_grad}
    assert_alike(ours, own)


@pytest.mark.parametrize("saving", [{}, {"update": "fused"}, {"update": "product"}], ids=str)
def test_signs_and_scale_are_those_of_the_latent_weights_after_a_step(saving):
    algorithm = build_algorithm("backprop", NET, {"weights": "binary", "lr": 3.0, **saving})
    for seed in range(2):
        algorithm.step(*samples_for(algorithm, 12, seed))
    tensors = held(algorithm)
    body = algorithm._units.chains[2].blocks[0].body.blocks
    latent = tensors["unit3.conv2.latent"]
    seen = body[3]._weight.read(slice(0, len(latent)))
    assert torch.equal(seen > 0, latent >= 0)
    assert torch.allclose(seen.abs(), latent.abs().mean())
    clipped = [tensors[name] for name in tensors if name.endswith((".latent", ".gain", ".shift"))]
    assert all(float(each.abs().max()) <= 1 for each in clipped)
    assert any(float(each.abs().max()) == 1 for each in clipped)


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_memory_saving_forms_give_the_same_bits(form):
    after = []
    for saving in ({}, {"update": "fused"}, {"checkpoint": 1}, {"checkpoint": 2}):
        algorithm = build_algorithm("backprop", NET, {**form, **saving})
        for seed in range(3):
            algorithm.step(*samples_for(algorithm, 10, seed))
        after.append(held(algorithm))
    for other in after[1:]:
        assert all(torch.equal(other[name], tensor) for name, tensor in after[0].items())


def test_all_that_is_trained_is_in_ram_once():
    algorithm = build_algorithm("backprop", NET, {"weights": "binary"})
    tensors = list(algorithm.static_tensors())
    assert not any(each.storage for each in tensors)
    latent = [each.tensor for each in tensors if each.name.endswith(".latent")]
    momenta = sum(each.tensor.numel() for each in tensors if "momentum" in each.name)
    assert len(latent) == 9
    assert momenta > sum(each.numel() for each in latent)
    assert not any(each.name.endswith(".slice") for each in tensors)


def test_bits_of_activations_are_kept_instead_of_floats():
    sizes = []
    for form in ({}, {"activations": "binary"}):
        algorithm = build_algorithm("backprop", "cnn-3x8x8-c16-c16-c16-4", form)
        tape = []
        x, _ = samples_for(algorithm, 16)
        algorithm._units.forward(x, Pass(tape, Statistics.BATCH))
        kept = {each.data_ptr(): each.nbytes for each in tape if isinstance(each, torch.Tensor)}
        sizes.append(sum(kept.values()))
    assert sizes[1] < 0.7 * sizes[0]  # the rest is what normalisation keeps


def test_turns_are_refused_with_what_would_do():
    for options in ({"slices": 2}, {"slice_rule": "released"}):
        with pytest.raises(ConfigurationError, match="use tinyfoa, which trains slices of a unit"):
            build_algorithm("backprop", NET, options)
