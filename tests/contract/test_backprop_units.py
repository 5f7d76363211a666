"""Backpropagation through units: autograd's gradients, the same weights in every form."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders.unit_net import forward
from tests.contract.cases import UNIT_NETS, samples_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.backprop.options import BackpropOptions
from trainfit.algorithms.backprop.units import BackpropOnUnits
from trainfit.algorithms.models import Unit, UnitNet
from trainfit.algorithms.models.layers import Activation, Convolution, Dense
from trainfit.bench.trace.prediction import predict

RATE = 0.125  # a power of two: to multiply by it and to divide again rounds nothing


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def after_steps(model, options, steps=3, rows=6):
    algorithm = build_algorithm("backprop", model, options)
    for number in range(steps):
        algorithm.step(*samples_for(algorithm, rows, seed=number))
    return algorithm


@pytest.mark.parametrize(("model", "rows"), UNIT_NETS)
def test_gradients_and_statistics_are_those_of_autograd(model, rows):
    algorithm = build_algorithm("backprop", model, {"momentum": 0.0, "lr": RATE})
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    trained = [
        each.name for each in algorithm.static_tensors() if each.category is Category.PARAMETERS
    ]
    x, y = samples_for(algorithm, rows)
    own = {name: tensor.clone() for name, tensor in before.items()}
    for name in trained:
        own[name].requires_grad_()
    logits = forward(algorithm.model, x, own, training=True)
    functional.cross_entropy(logits, y).backward()

    algorithm.step(x, y)

    after = held(algorithm)
    for name, tensor in own.items():
        if name in trained:
            assert tensor.grad is not None
            ours = (before[name] - after[name]) / RATE
            largest = tensor.grad.abs().max().item()
            assert torch.allclose(ours, tensor.grad, rtol=1e-4, atol=1e-5 * max(largest, 1.0)), name
        else:
            assert torch.allclose(after[name], tensor, rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("model", ["resnet8-3x32x32-10", "ds_cnn-1x49x10-12", "lenet5-1x28x28-10"])
def test_predictions_are_those_of_torchs_own_layers(model):
    algorithm = after_steps(model, {}, steps=1, rows=4)
    x, _ = samples_for(algorithm, 5)

    expected = forward(algorithm.model, x, held(algorithm), training=False)

    assert torch.allclose(algorithm.predict(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [model for model, _ in UNIT_NETS])
@pytest.mark.parametrize(
    "options",
    [{"update": "fused"}, {"checkpoint": 1}, {"checkpoint": 2, "update": "fused"}],
    ids=str,
)
def test_memory_saving_forms_give_the_same_bits(model, options):
    plain, saving = after_steps(model, {}), after_steps(model, options)
    for name, tensor in held(plain).items():
        assert torch.equal(held(saving)[name], tensor), name


@pytest.mark.parametrize("model", [model for model, _ in UNIT_NETS])
def test_a_product_differs_by_rounding(model):
    plain, product = (
        after_steps(model, {"lr": 0.001, "update": update}) for update in ("separate", "product")
    )
    for name, tensor in held(plain).items():
        assert torch.allclose(held(product)[name], tensor, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("model", [model for model, _ in UNIT_NETS])
def test_a_product_gives_adam_the_same_gradients_but_for_rounding(model):
    """Its first moments are a tenth of them; what it makes of small ones is their sign."""
    plain, product = (
        after_steps(model, {"optimizer": "adam", "update": update}, steps=1)
        for update in ("separate", "product")
    )
    for name, tensor in held(plain).items():
        if name.endswith(("weight.mean", "bias.mean", "gain.mean", "shift.mean")):
            assert torch.allclose(held(product)[name], tensor, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(("groups", "outputs"), [(2, 54), (3, 96), (4, 4), (6, 6), (1, 40)])
def test_a_product_in_groups_is_that_of_autograd(groups, outputs):
    """Tiles of output channels are whole groups, or lie in one, whatever the numbers are."""
    layers = (Convolution(outputs, padding=(1, 1), groups=groups), Activation())
    units = (Unit("first", layers), Unit("classifier", (Dense(3),)))
    model = UnitNet("net", "net", (12, 4, 4), units)
    runs = []
    for update in ("separate", "product"):
        options = BackpropOptions(momentum=0.0, lr=RATE, update=update)
        algorithm = BackpropOnUnits(model, options)
        algorithm.step(*samples_for(algorithm, 5))
        runs.append(held(algorithm)["first.conv1.weight"])
    assert torch.allclose(*runs, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_give_the_whole_ones_gradient_where_nothing_is_normalised():
    model = "cnn-2x5x5-c4b-p-c8b-a-f8-4"
    whole, parts = after_steps(model, {}), after_steps(model, {"micro_batch": 4})
    for name, tensor in held(whole).items():
        assert torch.allclose(held(parts)[name], tensor, rtol=1e-4, atol=1e-6), name


def test_running_statistics_move_once_in_a_pass_that_is_made_again():
    model = UNIT_NETS[0][0]
    plain, again = after_steps(model, {}, 1), after_steps(model, {"checkpoint": 1}, 1)
    for name, tensor in held(plain).items():
        if name.endswith((".mean", ".variance")):
            assert torch.equal(held(again)[name], tensor), name


def test_every_form_takes_less():
    model = "resnet8-3x32x32-10"
    peaks = {
        str(options): predict(build_algorithm("backprop", model, options), 16).peak_bytes
        for options in ({}, {"update": "fused"}, {"checkpoint": 1}, {"micro_batch": 4})
    }
    plain = peaks.pop("{}")
    assert all(peak < plain for peak in peaks.values()), (plain, peaks)


@pytest.mark.parametrize(
    ("options", "rows", "words"),
    [({}, 1, "unit fc1 has one value per channel"), ({"micro_batch": 2}, 5, "use 2 or more")],
)
def test_a_single_sample_cannot_be_normalised(options, rows, words):
    algorithm = build_algorithm("backprop", "vgg8b-3x16x16-10", options)
    with pytest.raises(ConfigurationError, match=words):
        algorithm.check_batch(rows)
    algorithm.check_batch(4)


def test_what_is_for_fully_connected_nets_is_refused():
    with pytest.raises(ConfigurationError, match="are for fully connected nets, 'lenet5-1x28x28"):
        build_algorithm("backprop", "lenet5-1x28x28-10", {"slices": 2})
    with pytest.raises(ConfigurationError, match=r"dfa trains fully connected nets \(mlp-...\)"):
        build_algorithm("dfa", "lenet5-1x28x28-10", {})
