"""UI8, DAI8, quantisation-aware and post-training quantisation on nets of units."""

from __future__ import annotations

from copy import deepcopy
from statistics import median

import pytest
import torch

from tests.builders.int8_unit_net import (
    Dai8,
    Ui8,
    gradients,
    naive,
    product,
    rounded,
    straight_through,
)
from tests.builders.unit_net import forward
from tests.contract.cases import reachable_bits, samples_for
from trainfit.algorithms import Category, build_algorithm
from trainfit.algorithms.int8.dai8_clipping import is_gaussian
from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.algorithms.models.layers import Convolution, Dense
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.prediction import predict

NET = "cnn-2x8x8-c6b-d8-r8s2-g-4"
"""With a bias, a depthwise convolution, normalisation, a residual block with both ways, a pool."""

LR = 0.25
CLOSE = 5e-4
"""Of the norm of a change: float32 is off by a twentieth of that, a slip by ten times."""


def held(algorithm):
    return {each.name: each.tensor.clone() for each in algorithm.static_tensors()}


def largest_deviation(name, options, rule, *, seed, steps=2):
    """Of any parameter's change in any step, from what the equations say of the same start."""
    options = {"lr": LR, "momentum": 0.0} | options
    algorithm, worst = build_algorithm(name, NET, options, seed=seed), {}
    for number in range(steps):
        start, (x, y) = held(algorithm), samples_for(algorithm, 7, seed=number)
        expected = gradients(algorithm.model, x, y, start, rule)
        algorithm.step(x, y)
        end = held(algorithm)
        for each, gradient in expected.items():
            if gradient.norm() > 1e-6:  # of a bias before normalisation there is none
                moved = (start[each].double() - end[each].double()) / LR
                off = float((moved - gradient).norm() / gradient.norm())
                worst[each] = max(off, worst.get(each, 0.0))
    return max(worst.values())


def typical_deviation(name, options, rules):
    """Its median over nets: a value on the edge between two integers, which the last bit of a
    float32 decides, changes a gradient by some percent, and is there in one net of several.
    """
    return median(
        largest_deviation(name, options, rule, seed=seed) for seed, rule in enumerate(rules, 1)
    )


NETS = 5


INT8 = {"master": "fp32"}
UI8 = {"rounding": "nearest", "candidates": 48}
DAI8 = {"share": 0.32, "k": 0.9, "a": 0.6}


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("backprop_int8", INT8, naive),
        ("backprop_ui8", UI8, Ui8(48)),
        ("backprop_dai8", DAI8, Dai8(**DAI8)),
        ("qat_int8", {}, straight_through),
    ],
)
def test_a_step_is_that_of_the_equations(name, options, rule):
    rules = [deepcopy(rule) for _ in range(NETS)]
    assert typical_deviation(name, options, rules) < CLOSE
    assert all(getattr(each, "kinds", {True, False}) == {True, False} for each in rules)


class Unslowed(Ui8):
    def rate(self, deviation):
        return 1.0


class Unclipped(Ui8):
    def __call__(self, name, g):
        return super().__call__(name, g)._replace(for_weight=rounded(g), for_input=rounded(g))


class OneRange(Dai8):
    def __call__(self, name, g):
        return super().__call__(name, g)._replace(for_weight=rounded(g))


@pytest.mark.parametrize(
    ("name", "options", "slip"),
    [
        ("backprop_int8", INT8, straight_through),
        ("backprop_ui8", UI8, Unslowed(48)),
        ("backprop_ui8", UI8, Unclipped(48)),
        ("backprop_dai8", DAI8, OneRange(**DAI8)),
        ("backprop_dai8", DAI8, Dai8(**DAI8 | {"share": 0.0})),
        ("qat_int8", {}, naive),
    ],
)
def test_a_slip_is_noticed(name, options, slip):
    assert typical_deviation(name, options, [deepcopy(slip) for _ in range(NETS)]) > 10 * CLOSE


# ---- how it is computed ---------------------------------------------------------------------


def trained(name, options, steps=3):
    algorithm = build_algorithm(name, NET, options)
    for number in range(steps):
        algorithm.step(*samples_for(algorithm, 7, seed=number))
    return algorithm


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("backprop_ui8", {"period": 2, "candidates": 4}),
        ("backprop_dai8", {"rounding": "stochastic"}),
        ("qat_int8", {}),
    ],
)
def test_how_it_is_computed_makes_no_difference(name, options):
    others = [{"kernel": "torch"}]
    others += [] if name == "qat_int8" else [{"weight_gradient": "whole"}]
    bits = reachable_bits(trained(name, options))
    assert all(reachable_bits(trained(name, options | other)) == bits for other in others)


@pytest.mark.parametrize("name", ["backprop_int8", "backprop_ui8", "backprop_dai8", "qat_int8"])
def test_the_rate_follows_its_schedule(name):
    """Before the second of two passes, half of it is left."""
    found = []
    for options in ({"lr": 0.25, "decay": "cosine"}, {"lr": 0.125}):
        algorithm = build_algorithm(name, NET, options | {"momentum": 0.0})
        algorithm.begin_epoch(1, 2)
        algorithm.step(*samples_for(algorithm, 7))
        found.append(reachable_bits(algorithm))
    assert found[0] == found[1]


def test_a_maps_channel_is_gaussian_as_a_unit_with_as_many_values_is():
    g = torch.randn(6, 40, 5, 4, generator=torch.Generator().manual_seed(0))
    g[:, 20:, 1:] = 0.0
    found = is_gaussian(g, 0.3)
    assert torch.equal(found, is_gaussian(g.movedim(1, -1).reshape(-1, 40), 0.3))
    assert 0 < int(found.sum()) <= 20


def test_what_is_kept_between_steps_belongs_to_layers():
    found = {}
    for name in ("backprop_ui8", "backprop_dai8"):
        kept = build_algorithm(name, "cnn-1x4x4-c6-3", {"candidates": 4} if "ui" in name else {})
        found[name] = {
            each.name: each.tensor.numel()
            for each in kept.static_tensors()
            if each.category is Category.BUFFERS and "bn" not in each.name
        }
    assert found["backprop_ui8"] == {"unit1.conv1.deviations": 4, "classifier.fc1.deviations": 4}
    assert found["backprop_dai8"] == {"unit1.conv1.clip": 6, "classifier.fc1.clip": 3}


# ---- QAT and PTQ ----------------------------------------------------------------------------


def test_qat_multiplies_integers_going_forward_and_floats_coming_back():
    plan = predict(build_algorithm("qat_int8", NET, {}), 7)
    macs = {name: set(phase.macs) for name, phase in plan.operations.phases.items()}
    assert macs["forward"] >= {NumberFormat.INT8}
    assert macs["gradient"] == {NumberFormat.FP32}


def rounded_logits(model, x, own):
    """Of the net with all products of rounded operands, normalised by running statistics."""

    def layer_of(layer, h, at):
        if not isinstance(layer, Convolution | Dense):
            return None
        z = product(layer, rounded(h), rounded(own[f"{at}.weight"]))
        bias = own.get(f"{at}.bias")
        return z if bias is None else z + bias.view(-1, *[1] * (z.dim() - 2))

    return forward(model, x, own, training=False, own=layer_of)


@pytest.mark.parametrize("options", [{}, {"update": "product", "kernel": "torch"}])
def test_ptq_trains_as_backprop_does_and_rounds_for_the_prediction(options):
    ptq = trained("ptq_int8", options)
    backprop = trained("backprop", {key: each for key, each in options.items() if key != "kernel"})
    assert reachable_bits(ptq) == reachable_bits(backprop)
    assert predict(ptq, 7).peak_bytes == predict(backprop, 7).peak_bytes
    x, _ = samples_for(ptq, 7, seed=9)
    exact, scores = backprop.predict(x), ptq.predict(x)
    torch.testing.assert_close(scores, rounded_logits(ptq.model, x, held(ptq)), rtol=0, atol=1e-4)
    assert 1e-3 < float((scores - exact).abs().max()) < 0.2 * float(exact.abs().max())


def test_qat_predicts_the_net_that_ptq_makes_of_its_weights():
    qat = trained("qat_int8", {})
    x, _ = samples_for(qat, 7, seed=9)
    expected = rounded_logits(qat.model, x, held(qat))
    torch.testing.assert_close(qat.predict(x), expected, rtol=0, atol=1e-4)


# ---- bytes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [("backprop_ui8", {"candidates": 1}), ("backprop_dai8", {}), ("qat_int8", {})],
)
def test_the_peak_of_resnet8_is_what_is_predicted(name, options):
    algorithm = build_algorithm(name, "resnet8-3x32x32-10", options)
    x, y = samples_for(algorithm, 2)
    measured = profile_step(lambda: algorithm.step(x, y), warmup=1, repeats=1)
    assert measured.peak_dynamic_bytes == predict(algorithm, 2).peak_bytes


def test_int8_gradients_save_bytes_however_they_are_clipped():
    """The peak is where nothing is clipped: at the end of the forward pass, or near it."""
    peaks = {
        name: predict(build_algorithm(name, "resnet8-3x32x32-10", {}), 32).peak_bytes
        for name in ("backprop", "backprop_int8", "backprop_ui8", "backprop_dai8", "qat_int8")
    }
    assert peaks["backprop_int8"] == peaks["backprop_ui8"] == peaks["backprop_dai8"]
    assert 2 * peaks["backprop_int8"] < peaks["backprop"]
    assert peaks["backprop_int8"] < peaks["qat_int8"] < peaks["backprop"]
