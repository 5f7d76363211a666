"""The similarity matching losses sim and predsim: gradients, what is kept, what is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.local_head.similarity import (
    directions_,
    gradient_matrix,
    label_directions,
    row_means,
)
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def correlations(x):
    """Cosine similarities of all pairs of rows without their means."""
    centred = x - x.mean(1, keepdim=True)
    directions = centred / (1e-8 + centred.square().sum(1, keepdim=True).sqrt())
    return directions @ directions.T


def similarity_loss(features, y, classes):
    labels = functional.one_hot(y, classes).to(features.dtype)
    return functional.mse_loss(correlations(features), correlations(labels))


# ---- the gradient ---------------------------------------------------------------------------


def gradient(features, y, classes, weight=1.0):
    n = features - row_means(features)
    inverse = directions_(n)
    return gradient_matrix(n, inverse, y, classes, weight) @ n


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize(("rows", "width"), [(2, 3), (12, 7), (7, 50), (40, 2000)])
def test_the_gradient_is_autograds(rows, width, classes):
    generator = torch.Generator().manual_seed(rows)
    features = torch.randn(rows, width, generator=generator).relu_()
    features[:, 0] += 0.1
    y = torch.randint(0, classes, (rows,), generator=generator)
    exact = features.double().requires_grad_()
    (0.7 * similarity_loss(exact, y, classes)).backward()
    assert exact.grad.abs().max() > 0
    scale = float(exact.grad.abs().max())
    torch.testing.assert_close(
        gradient(features, y, classes, 0.7).double(), exact.grad, rtol=1e-4, atol=1e-5 * scale
    )


def test_similarities_of_labels_are_1_within_a_class_and_below_0_between():
    y = torch.tensor([0, 2, 2, 1])
    labels = label_directions(y, 5)
    expected = torch.where(y[:, None] == y[None, :], 1.0, -0.25)
    torch.testing.assert_close(labels @ labels.T, expected)
    torch.testing.assert_close(labels @ labels.T, correlations(functional.one_hot(y, 5).float()))


def test_where_similarities_are_the_labels_there_is_nothing_to_learn():
    y = torch.tensor([0, 1, 2, 1, 0, 2])
    features = 3.0 * functional.one_hot(y, 3).float() + 0.5
    assert gradient(features, y, 3).abs().max() < 1e-6


def test_a_silent_sample_has_no_say_and_no_gradient():
    """In released code it makes every gradient NaN."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(6, 9, generator=generator)
    y = torch.tensor([0, 1, 2, 1, 0, 2])
    silent = torch.cat((features, torch.zeros(1, 9)))
    labels = torch.cat((y, torch.tensor([1])))
    exact = silent.clone().requires_grad_()
    similarity_loss(exact, labels, 3).backward()
    assert exact.grad.isnan().any()
    found = gradient(silent, labels, 3)
    torch.testing.assert_close(found[:6] * (7 / 6) ** 2, gradient(features, y, 3))
    # No unit of the silent sample is active, so that the rectifier stops what is left of it.
    assert found.isfinite().all()


@pytest.mark.parametrize("options", [{"loss": "sim"}, {"loss": "predsim", "beta": 0.6}])
def test_a_net_with_silent_samples_learns_from_the_others(options):
    algorithm = build_algorithm("local_head", NET, {**options, "momentum": 0.0})
    held = parameters(algorithm)
    held["b1"].fill_(-0.02)
    x, y = batch_for(algorithm, 12)
    x[:5] = 0.0
    before = {name: tensor.clone() for name, tensor in held.items()}
    algorithm.step(x, y)
    assert all(tensor.isfinite().all() for tensor in held.values())
    assert not torch.equal(held["w1"], before["w1"])


# ---- the step -------------------------------------------------------------------------------

CASES = [
    {"loss": "sim"},
    {"loss": "sim", "projection": "none"},
    {"loss": "predsim", "beta": 0.7},
    {"loss": "predsim", "beta": 0.3, "projection": "none"},
    {"loss": "predsim", "beta": 0.7, "head": "fixed"},
    {"loss": "predsim", "beta": 0.7, "batch_norm": True},
]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("keep", [1.0, 0.6])
@pytest.mark.parametrize("options", CASES, ids=str)
def test_layers_follow_the_gradient_of_their_loss_and_heads_that_of_their_own(options, keep, parts):
    lr = 0.3
    algorithm = build_algorithm(
        "local_head", NET, {"momentum": 0.0, "lr": lr, "keep": keep, "parts": parts, **options}
    )
    x, y = batch_for(algorithm, 12)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    algorithm.step(x, y)
    after = parameters(algorithm)
    fixed = ("head", "mean", "variance")
    p = {n: t.double().requires_grad_(not n.startswith(fixed)) for n, t in before.items()}
    beta = options.get("beta", 1.0)
    h = x.double()
    for number in (1, 2, 3):
        h = functional.linear(h, p[f"w{number}"], p.get(f"b{number}"))
        if options.get("batch_norm"):
            gain, shift = p[f"gain{number}"], p[f"shift{number}"]
            h = functional.batch_norm(h, None, None, gain, shift, training=True)
        h = h.relu()
        features = functional.linear(h, p[f"u{number}"]) if f"u{number}" in p else h
        loss = beta * similarity_loss(features, y, 4)
        if f"v{number}" in p:
            scores = functional.linear(h.detach(), p[f"v{number}"], p[f"c{number}"])
            functional.cross_entropy(scores, y).backward()
        if options["loss"] == "predsim":
            frozen = p[f"head{number}"] if f"head{number}" in p else p[f"v{number}"].detach()
            bias = p[f"c{number}"].detach() if f"c{number}" in p else None
            pred = functional.cross_entropy(functional.linear(h, frozen, bias), y)
            loss = loss + (1 - beta) * pred
        loss.backward()
        h = h.detach()
        if number < 3:
            h = h * algorithm._dropout.apply_(torch.ones(h.shape), number).double()
    trained = {name: tensor for name, tensor in p.items() if tensor.requires_grad}
    assert {name[0] for name in trained} >= ({"w", "u"} if "projection" not in options else {"w"})
    for name, tensor in trained.items():
        moved = (before[name] - after[name]).double()
        assert tensor.grad.abs().max() > 0, name
        off = torch.linalg.vector_norm(moved - lr * tensor.grad)
        assert off < 1e-4 * torch.linalg.vector_norm(lr * tensor.grad) + 1e-7, name
    for name, tensor in before.items():
        if name.startswith("head"):
            assert torch.equal(after[name], tensor)


def test_what_each_loss_keeps():
    def names(options):
        return set(parameters(build_algorithm("local_head", NET, {"momentum": 0.0, **options})))

    layers = {f"{kind}{number}" for kind in "wb" for number in (1, 2, 3)}
    heads = {f"{kind}{number}" for kind in "vc" for number in (1, 2, 3)}
    maps = {f"u{number}" for number in (1, 2, 3)}
    assert names({"loss": "pred"}) == layers | heads
    assert names({"loss": "predsim"}) == layers | heads | maps
    assert names({"loss": "predsim", "projection": "none"}) == layers | heads
    assert names({"loss": "sim"}) == layers | maps | {"v3", "c3"}
    assert names({"loss": "sim", "projection": "none"}) == layers | {"v3", "c3"}


@pytest.mark.parametrize("loss", ["sim", "predsim"])
def test_parts_take_the_same_steps(loss):
    runs = []
    for parts in (1, 3):
        algorithm = build_algorithm("local_head", NET, {"loss": loss, "parts": parts})
        for seed in range(4):
            algorithm.step(*batch_for(algorithm, 12, seed))
        runs.append({n: t for n, t in parameters(algorithm).items() if "." not in n})
    assert runs[0].keys() == runs[1].keys()
    for name, tensor in runs[0].items():
        torch.testing.assert_close(tensor, runs[1][name], rtol=1e-4, atol=1e-6)


def test_the_losses_of_a_layer_fall():
    """All three layers' similarities come nearer to the labels'."""
    algorithm = build_algorithm("local_head", NET, {"loss": "sim", "lr": 1.0, "momentum": 0.0})
    x, y = batch_for(algorithm, 32)

    def losses():
        held, h, found = parameters(algorithm), x, []
        for number in (1, 2, 3):
            h = functional.linear(h, held[f"w{number}"], held[f"b{number}"]).relu()
            found.append(float(similarity_loss(h @ held[f"u{number}"].T, y, 4)))
        return found

    before = losses()
    for _ in range(200):
        algorithm.step(x, y)
    assert all(after < 0.7 * first for after, first in zip(losses(), before, strict=True))


def test_memory_by_hand():
    """784 inputs, 1000 x 3, batch 100: at its peak a layer's input, output, features and gradient.

    Of the pairs of samples there are only 100 x 100.
    """
    rows, width, classes = 100, 1000, 10
    layer = rows * width
    pred, sim, direct = (
        predict(build_algorithm("local_head", "mlp-784-1000x3-10", options), rows)
        for options in ({}, {"loss": "sim"}, {"loss": "sim", "projection": "none"})
    )
    error, pairs = rows * classes, rows * rows
    assert pred.peak_bytes == 4 * (3 * layer + error + width)
    # the last layer: M times n, with the head's scores and the lengths
    assert sim.peak_bytes == 4 * (4 * layer + error + pairs + rows)
    assert direct.peak_bytes == 4 * (4 * layer + error + pairs + width)
    maps = 3 * width * width
    heads = 2 * (classes * width + classes)
    assert sim.static_bytes - pred.static_bytes == 2 * 4 * (maps - heads)
    assert direct.static_bytes - pred.static_bytes == -2 * 4 * heads


def test_products_by_hand():
    """24 inputs, 16 units, 4 classes, 12 samples: one layer, with its last head."""
    rows, inputs, units, classes = 12, 24, 16, 4
    layer, head = rows * inputs * units, rows * units * classes
    pairs = rows * rows * units + 2 * rows * rows * classes  # R, T, D T
    mapped = 3 * rows * units * units + rows * rows * units  # g, dh, du; dg
    direct = rows * rows * units  # dh
    for options, expected in (
        ({"loss": "sim"}, 2 * layer + 2 * head + pairs + mapped),
        ({"loss": "predsim"}, 2 * layer + 3 * head + pairs + mapped),
        ({"loss": "sim", "projection": "none"}, 2 * layer + 2 * head + pairs + direct),
    ):
        plan = predict(build_algorithm("local_head", "mlp-24-16-4", options), rows)
        assert plan.operations.total().macs.total() == expected


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "sim", "head": "fixed"}, "head=fixed does not go with loss=sim"),
        ({"loss": "sim", "schedule": "greedy"}, "schedule=greedy does not go with loss=sim"),
        ({"loss": "sim", "predict": "sum"}, "predict=sum does not go with loss=sim"),
        ({"beta": 0.5}, "beta has no effect with loss=pred; leave it out or take loss=predsim"),
        ({"loss": "sim", "beta": 0.5}, "beta has no effect with loss=sim"),
        ({"projection": "none"}, "projection has no effect with loss=pred"),
        ({"loss": "predsim", "beta": 1.0}, "option 'beta' of local_head"),
        ({"loss": "cos"}, "option 'loss' of local_head"),
    ],
)
def test_a_wrong_combination_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm("local_head", NET, options)


@pytest.mark.parametrize("loss", ["sim", "predsim"])
def test_a_batch_without_a_pair_is_refused(loss):
    algorithm = build_algorithm("local_head", NET, {"loss": loss})
    for refused in (algorithm.check_batch, partial(predict, algorithm)):
        with pytest.raises(ConfigurationError, match=f"loss={loss} compares the samples"):
            refused(1)
    with pytest.raises(ConfigurationError, match="use at least 2"):
        algorithm.step(*batch_for(algorithm, 1))
    algorithm.check_batch(2)
