"""INT8 on nets of units: blocks against their equations, rules against their float forms."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders.unit_net import forward, through
from tests.contract.cases import UNIT_NETS, reachable_bits, samples_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.blocks.block import Pass, Statistics
from trainfit.algorithms.blocks.float32.activation import ActivationBlock
from trainfit.algorithms.blocks.float32.batch_norm import BatchNormBlock
from trainfit.algorithms.blocks.int8.arithmetic import Arithmetic
from trainfit.algorithms.blocks.int8.batch_norm import Int8BatchNormBlock
from trainfit.algorithms.blocks.int8.convolution import Int8ConvolutionBlock
from trainfit.algorithms.blocks.int8.dense import Int8DenseBlock
from trainfit.algorithms.blocks.int8.kept import InputInInt8Block, RectifierBlock
from trainfit.algorithms.blocks.learning import AtOnce, ByRows
from trainfit.algorithms.forward_forward.labels import random_wrong_labels
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    Nonlinearity,
)
from trainfit.algorithms.numerics.int8.convolution import products
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.prediction import predict

NET = "cnn-3x8x8-c6-r8s2-i8-10"


def arithmetic():
    to_nearest = Rounding.NEAREST
    return Arithmetic(
        Int8Kernel.COMPILED, activations=to_nearest, gradients=to_nearest, weights=to_nearest
    )


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def rounded(t):
    """The values that INT8 has for a tensor, in float64, and how far apart they are."""
    scale = t.abs().max() / 127
    return (t / scale).round().double() * scale, float(scale)


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def trained_by(name, options, model=NET, steps=3, rows=6):
    algorithm = build_algorithm(name, model, options)
    for number in range(steps):
        algorithm.step(*samples_for(algorithm, rows, seed=number))
    return algorithm


# ---- blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("learner", [AtOnce, ByRows])
@pytest.mark.parametrize("latent", [True, False])
def test_a_convolution_is_that_of_the_rounded_tensors(latent, learner, groups):
    layer = Convolution(9, (3, 3), (2, 1), (1, 1), groups=groups, bias=True)
    generator = torch.Generator().manual_seed(0)
    block = Int8ConvolutionBlock(layer, (6, 7, 8), "c", generator, arithmetic(), latent=latent)
    tensors = {each.name: each.tensor for each in block.held()}
    w = tensors["c.weight.integers"].double() * tensors["c.weight.scale"]
    start = tensors["c.weight"].double().clone() if latent else w.clone()
    x, (exact_x, _) = drawn(4, 6, 7, 8), rounded(drawn(4, 6, 7, 8))
    w.requires_grad_()
    exact_x.requires_grad_()
    exact_y = functional.conv2d(exact_x, w, None, layer.stride, layer.padding, 1, groups)
    dy = drawn(*exact_y.shape, 1).squeeze(-1)
    exact_y.backward(rounded(dy)[0])
    tape = []

    y = block.forward(x, Pass(tape, Statistics.BATCH))
    tape.append(dy.clone())
    optimiser = Sgd(0.5, momentum=0.0)
    for name, tensor in tensors.items():
        optimiser.add(name, tensor)
    block.backward(tape, learner(optimiser), to_input=True)

    assert torch.allclose(y.double(), exact_y, rtol=1e-5, atol=1e-5)
    assert torch.allclose(tape.pop().double(), exact_x.grad, rtol=1e-5, atol=1e-5)
    assert tape == []
    assert torch.allclose(tensors["c.bias"], -0.5 * dy.sum((0, 2, 3)), rtol=1e-5, atol=1e-5)
    moved = start - 0.5 * w.grad
    expected, step = rounded(moved)
    found = tensors["c.weight.integers"].double() * tensors["c.weight.scale"]
    assert ((found - expected).abs() <= 1.001 * step).all()  # a half may go either way
    assert (found - expected).abs().mean() < 0.02 * step
    if latent:
        assert torch.allclose(tensors["c.weight"].double(), moved, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("learner", [AtOnce, ByRows])
def test_a_dense_layer_is_that_of_the_rounded_tensors(learner):
    generator = torch.Generator().manual_seed(0)
    block = Int8DenseBlock(Dense(40), (3, 4, 5), "f", generator, arithmetic(), latent=True)
    tensors = {each.name: each.tensor for each in block.held()}
    bias = tensors["f.bias"].clone()
    w = tensors["f.weight.integers"].double() * tensors["f.weight.scale"]
    start, x, dy, tape = tensors["f.weight"].clone(), drawn(7, 3, 4, 5), drawn(7, 40), []
    exact_x, exact_d = rounded(x)[0], rounded(dy)[0]
    optimiser = Sgd(0.5, momentum=0.0)
    for name, tensor in tensors.items():
        optimiser.add(name, tensor)

    y = block.forward(x, Pass(tape, Statistics.BATCH))
    tape.append(dy.clone())
    block.backward(tape, learner(optimiser), to_input=True)

    assert torch.allclose(y.double(), exact_x.flatten(1) @ w.T + bias, rtol=1e-5, atol=1e-5)
    assert torch.allclose(tape.pop().double(), (exact_d @ w).view(x.shape), rtol=1e-5, atol=1e-5)
    moved = start - 0.5 * (exact_d.T @ exact_x.flatten(1))
    assert torch.allclose(tensors["f.weight"].double(), moved, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("function", [Nonlinearity.RELU, Nonlinearity.RELU6])
def test_a_rectifier_keeps_a_byte_and_has_the_gradient_of_autograd(function):
    x = (5 * drawn(4, 3, 5, 5)).requires_grad_()
    dy = drawn(4, 3, 5, 5)
    {Nonlinearity.RELU: functional.relu, Nonlinearity.RELU6: functional.relu6}[function](
        x
    ).backward(dy)
    tape = []

    RectifierBlock(function, fresh=True).forward(x.detach().clone(), Pass(tape, Statistics.BATCH))
    assert [each.dtype for each in tape] == [torch.bool]
    tape.append(dy.clone())
    RectifierBlock(function, fresh=True).backward(tape, AtOnce(Sgd(1.0, 0.0)), to_input=True)

    assert torch.equal(tape.pop(), x.grad)


def steps_of(block, x, dy):
    """Output, gradient of the input, what is on the tape, and what the block holds afterwards."""
    optimiser, tape = Sgd(1.0, 0.0), []
    for each in block.held():
        optimiser.add(each.name, each.tensor)
    y = block.forward(x.clone(), Pass(tape, Statistics.BATCH)).clone()
    kept = list(tape)
    tape.append(dy.clone())
    given = tape[-1]
    block.backward(tape, AtOnce(optimiser), to_input=True)
    dx = tape.pop()
    assert tape == []
    return y, dx, kept, [each.tensor for each in block.held()], dx is given


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (9, 3)])
@pytest.mark.parametrize("last", [True, False])
def test_batch_normalisation_keeps_its_output_in_int8(last, shape):
    """Its output is that of float32, its gradient near it, by what rounding the output changes."""
    whole = BatchNormBlock(BatchNorm(), (3, 5, 5), "b")
    small = Int8BatchNormBlock(BatchNorm(), (3, 5, 5), "b", arithmetic(), fresh=True, last=last)
    x, dy = 3 * drawn(*shape) + 1, 0.01 * drawn(*shape, 1).squeeze(-1)
    (y, dx, _, held_whole, _), (near_y, near_dx, kept, held_small, in_place) = (
        steps_of(block, x, dy) for block in (whole, small)
    )
    assert torch.allclose(near_y, y, rtol=1e-4, atol=1e-5)
    assert torch.allclose(near_dx, dx, atol=0.02 * float(dx.abs().max()))
    for one, other in zip(held_small, held_whole, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)
    assert [each.numel() * each.element_size() for each in kept] == [x.numel(), 4, 12]
    assert in_place is not last  # its gradient may be that of both ways of a residual block
    way = Pass(None, Statistics.RUNNING)
    found = [block.forward(x.clone(), way) for block in (whole, small)]
    assert torch.allclose(*found, rtol=1e-3, atol=1e-3)


def test_what_others_read_is_not_normalised_in_place():
    block = Int8BatchNormBlock(BatchNorm(), (3, 5, 5), "b", arithmetic(), fresh=False, last=True)
    x = drawn(4, 3, 5, 5)
    block.forward(x, Pass([], Statistics.BATCH))
    assert torch.equal(x, drawn(4, 3, 5, 5))


def test_what_keeps_its_input_keeps_it_in_int8():
    layer = Activation(Nonlinearity.SILU)
    x, dy = drawn(4, 3, 5, 5), drawn(4, 3, 5, 5, 1).squeeze(-1)
    whole = ActivationBlock(layer, fresh=True)
    small = InputInInt8Block(ActivationBlock(layer, fresh=True), 1, arithmetic())
    (y, dx, *_), (near_y, near_dx, kept, *_) = (steps_of(each, x, dy) for each in (whole, small))
    assert torch.equal(near_y, y)
    assert torch.allclose(near_dx, dx, atol=0.02 * float(dx.abs().max()))
    assert [each.dtype for each in kept] == [torch.int8, torch.float32]
    assert kept[1].numel() == 1


# ---- backprop_int8 --------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "rows"), UNIT_NETS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("backprop_int8", {"master": "fp32"}),
        ("backprop_ui8", {"momentum": 0.0, "alpha": 0.0}),
        ("backprop_dai8", {"momentum": 0.0}),
        ("qat_int8", {"momentum": 0.0}),
    ],
)
def test_a_step_goes_where_autograd_points(name, options, model, rows):
    rows = max(rows, 8)
    algorithm = build_algorithm(name, model, options | {"lr": 0.125})
    before = {n: tensor.clone() for n, tensor in held(algorithm).items()}
    trained = [
        each.name
        for each in algorithm.static_tensors()
        if each.category is Category.PARAMETERS and not each.name.endswith(("integers", "scale"))
    ]
    x, y = samples_for(algorithm, rows)
    own = {n: tensor.clone() for n, tensor in before.items()}
    for each in trained:
        own[each].requires_grad_()
    functional.cross_entropy(forward(algorithm.model, x, own, training=True), y).backward()

    algorithm.step(x, y)

    ours = torch.cat([(before[n] - held(algorithm)[n]).flatten() for n in trained])
    theirs = torch.cat([own[n].grad.flatten() for n in trained])
    assert functional.cosine_similarity(ours, theirs, dim=0) > 0.95


@pytest.mark.parametrize("name", ["backprop_int8", "ff_int8"])
@pytest.mark.parametrize("master", ["int8", "fp32"])
def test_both_kernels_give_the_same_bits(master, name):
    options = {"master": master, "rounding": "stochastic"}
    found = [trained_by(name, options | {"kernel": kernel}) for kernel in ("compiled", "torch")]
    assert reachable_bits(found[0]) == reachable_bits(found[1])


@pytest.mark.parametrize("master", ["int8", "fp32"])
def test_a_gradient_of_rows_is_that_of_the_whole(master):
    found = [
        trained_by("backprop_int8", {"master": master, "weight_gradient": part})
        for part in ("rows", "whole")
    ]
    assert reachable_bits(found[0]) == reachable_bits(found[1])


def test_without_masters_no_weight_is_a_float():
    algorithm = build_algorithm("backprop_int8", NET, {})
    matrices = [each for each in algorithm.static_tensors() if each.tensor.dim() > 1]
    assert {each.tensor.dtype for each in matrices} == {torch.int8}
    assert {each.category for each in matrices} == {Category.PARAMETERS}


def test_weight_decay_makes_scales_smaller():
    plain, decayed = (
        trained_by("backprop_int8", {"weight_decay": decay, "lr": 1e-9}) for decay in (0.0, 1e7)
    )
    for name, scale in held(plain).items():
        if name.endswith(".scale"):
            assert torch.allclose(held(decayed)[name], 0.99**3 * scale, rtol=1e-3), name


def test_int8_needs_half_the_bytes():
    for model in ("resnet8-3x32x32-10", "ds_cnn-1x49x10-12"):
        whole, small = (
            predict(build_algorithm(name, model, {}), 32).peak_bytes
            for name in ("backprop", "backprop_int8")
        )
        assert small < 0.5 * whole, model


# ---- ff_int8 --------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["pixels", "plane"])
@pytest.mark.parametrize("lookahead", ["detached", "true"])
def test_with_lambda_0_looking_ahead_changes_nothing(lookahead, labels):
    options = {"labels": labels, "master": "fp32", "rounding": "nearest", "goodness": "mean"}
    off, ahead = (
        trained_by("ff_int8", options | {"lookahead": which}) for which in ("off", lookahead)
    )
    assert reachable_bits(off) == reachable_bits(ahead)


def test_later_goodness_counts_from_the_second_pass_on():
    options = {"master": "fp32", "rounding": "nearest", "lookahead": "detached"}
    options |= {"goodness": "mean", "lr": 300.0}
    found = []
    for step in (0.0, 0.5):
        algorithm = build_algorithm("ff_int8", NET, options | {"lookahead_step": step})
        algorithm.begin_epoch(1, 2)
        algorithm.step(*samples_for(algorithm, 6))
        found.append(held(algorithm))
    assert not torch.equal(*(each["unit1.conv1.weight"] for each in found))
    assert torch.equal(*(each["unit3.conv1.weight"] for each in found))  # the last has no later one


def test_with_lambda_1_a_unit_follows_its_loss_and_all_later_ones():
    """Autograd's gradient of the sum of losses, in float32, through the scaling of samples."""
    net = "cnn-3x8x8-c16-c16-c16-10"
    options = {"lookahead": "true", "lookahead_step": 1.0, "goodness": "mean", "lr": 1.0}
    options |= {"master": "fp32", "rounding": "nearest"}
    algorithm = build_algorithm("ff_int8", net, options)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    own = {name: tensor.clone() for name, tensor in before.items()}
    names = [f"unit{number}.conv1.weight" for number in (1, 2, 3)]
    for name in names:
        own[name].requires_grad_()
    x, y = samples_for(algorithm, 24)
    state = algorithm.generator.get_state()
    torch.empty((), dtype=torch.int64).random_(generator=algorithm.generator)  # the seed
    wrong = random_wrong_labels(y, 10, algorithm.generator)
    algorithm.generator.set_state(state)
    h, total = algorithm._labelled.write(x, y, wrong), torch.zeros(())
    for unit in algorithm.model.units[:-1]:
        h = through(unit, h, own, training=True)
        excess = h.flatten(1).pow(2).mean(1) - 1.0
        total = total + functional.softplus(torch.cat([-excess[:24], excess[24:]])).sum() / 24
        h = h * h.flatten(1).pow(2).mean(1).rsqrt()[:, None, None, None]
    total.backward()
    algorithm.begin_epoch(1, 2)

    algorithm.step(x, y)

    for name in names:
        ours = (before[name] - held(algorithm)[name]).flatten()
        assert functional.cosine_similarity(ours, own[name].grad.flatten(), dim=0) > 0.95, name


def test_units_follow_the_gradient_of_their_own_goodness():
    """As forward_forward's do, within what rounding changes."""
    options = {"goodness": "mean", "lr": 1.0, "momentum": 0.0}
    ours, theirs = (
        build_algorithm(name, "cnn-3x8x8-c6-c8s2-10", options | own)
        for name, own in (
            ("ff_int8", {"master": "fp32", "rounding": "nearest"}),
            ("forward_forward", {"passes": "joint"}),
        )
    )
    moves = []
    for algorithm in (ours, theirs):
        before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
        state = theirs.generator.get_state()
        algorithm.generator.set_state(state)
        if algorithm is theirs:  # which draws no seed for its rounding
            torch.empty((), dtype=torch.int64).random_(generator=algorithm.generator)
        algorithm.step(*samples_for(algorithm, 24))
        after = held(algorithm)
        moves.append({name: after[name] - before[name] for name in before})
    for name in ("unit1.conv1.weight", "unit2.conv1.weight"):
        both = (moves[0][name].flatten(), moves[1][name].flatten())
        assert functional.cosine_similarity(*both, dim=0) > 0.9, name


def test_ff_int8_needs_less_than_forward_forward():
    for options in ({"labels": "plane"}, {}):
        small, joint = (
            predict(build_algorithm(name, "resnet8-3x32x32-10", options | own), 32).peak_bytes
            for name, own in (("ff_int8", {}), ("forward_forward", {"passes": "joint"}))
        )
        assert small < 0.75 * joint


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "options", "said"),
    [
        ("ff_int8", NET, {"labels": "channels"}, "labels=plane"),
        ("ff_int8", NET, {"momentum": 0.9}, "master=fp32"),
        ("ff_int8", NET, {"goodness": "relu_mean"}, "goodness=mean"),
        ("ff_int8", "mlp-24-16-4", {"goodness": "relu_mean"}, "goodness=mean"),
        ("ff_int8", "cnn-3x8x8-10", {}, "cnn-3x32x32-c20-10"),
        ("ff_int8", "cnn-1x3x3-c4-10", {}, "use labels=plane"),
        ("ff_int8", "mlp-24-16-4", {"labels": "plane"}, "leave it out"),
        ("backprop_int8", NET, {"momentum": 0.9}, "master=fp32"),
        ("backprop_ui8", NET, {"period": 3}, "choose a divisor"),
        ("backprop_dai8", NET, {"k": 2.0}, "k times a must be at most 1"),
        ("ptq_int8", NET, {"weights": "binary"}, "leave weights and activations at float"),
    ],
)
def test_what_cannot_be_is_refused(name, model, options, said):
    with pytest.raises(ConfigurationError, match=said):
        build_algorithm(name, model, options)


def test_sums_that_might_exceed_int32_are_made_of_some_samples_at_a_time(monkeypatch):
    """The same sums, of three samples and of five; integers below 2^24 add up exactly."""
    found = []
    for most in (1 << 17, 16 * 3):
        monkeypatch.setattr(products, "MOST_TERMS", most)
        found.append(trained_by("backprop_int8", {"master": "fp32"}, "cnn-3x4x4-c6b-10", steps=1))
    one, parts = (held(each) for each in found)
    assert all(torch.allclose(one[name], parts[name], atol=1e-6) for name in one)
    x, y = samples_for(found[1], 8)
    predicted = predict(found[1], 8).peak_bytes
    measured = profile_step(lambda: found[1].step(x, y), warmup=1, repeats=2)
    assert measured.peak_dynamic_bytes == predicted


def test_maps_with_more_places_than_int32_can_sum_are_refused():
    with pytest.raises(ConfigurationError, match="147,456 INT8 products"):
        build_algorithm("ff_int8", "cnn-1x384x384-c4-10", {})
