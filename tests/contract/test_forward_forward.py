"""Forward-Forward's closed forms equal autograd's on the same losses; its choices as they say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.forward_forward.labels import (
    labelled,
    random_wrong_labels,
    sample_hard_negatives,
)

LR = 0.1
NET = "mlp-24-16-12-4"


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def build(**options):
    return build_algorithm("forward_forward", NET, {"momentum": 0.0, "lr": LR, **options})


def normalised(z):
    return z * (z.shape[1] ** 0.5 / (z.norm(dim=1, keepdim=True) + 1e-8))


def with_labels(x, y, classes=4):
    x = x.clone()
    x[:, :classes] = 0
    x[torch.arange(len(x)), y] = 1.0
    return normalised(x)


def layer_losses(before, inputs, loss):
    """Per layer ``(w, b)`` as descent on ``loss(z of each input, the same before relu)`` does."""
    for number in (1, 2):
        w = before[f"w{number}"].clone().requires_grad_()
        b = before[f"b{number}"].clone().requires_grad_()
        inner = [functional.linear(h, w, b) for h in inputs]
        outputs = [torch.relu(z) for z in inner]
        loss(outputs, inner).backward()
        yield number, (w - LR * w.grad).detach(), (b - LR * b.grad).detach()
        # The next layer sees the output of the weights as they were.
        inputs = [normalised(z.detach()) for z in outputs]


def assert_follows(algorithm, before, inputs, loss):
    after = parameters(algorithm)
    for number, w, b in layer_losses(before, inputs, loss):
        torch.testing.assert_close(after[f"w{number}"], w)
        torch.testing.assert_close(after[f"b{number}"], b)
        assert not torch.equal(after[f"w{number}"], before[f"w{number}"])


def goodness_of(kind):
    return lambda z: z.square().mean(1) if kind == "mean" else z.square().sum(1)


@pytest.mark.parametrize("goodness", ["mean", "sum"])
@pytest.mark.parametrize("positive", [True, False])
def test_a_pass_follows_the_gradient_of_its_logistic_loss(goodness, positive):
    """Hinton 2022, eq. 1, layer by layer."""
    theta = 1.5
    algorithm = build(goodness=goodness, threshold=theta)
    x, y = batch_for(algorithm, 10)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    with torch.no_grad():
        algorithm._pass(x, y, positive=positive)
    good, sign = goodness_of(goodness), -1 if positive else 1
    assert_follows(
        algorithm,
        before,
        [with_labels(x, y)],
        lambda outputs, _: functional.softplus(sign * (good(outputs[0]) - theta)).mean(),
    )
    assert torch.equal(x, batch_for(algorithm, 10)[0])


@pytest.mark.parametrize("goodness", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["logistic", "symba"])
def test_the_joint_pass_follows_the_gradient_of_both_passes(goodness, loss):
    alpha = 4.0
    algorithm = build(goodness=goodness, passes="joint", loss=loss, symba_scale=alpha)
    x, y = batch_for(algorithm, 10)
    wrong = (y + 1) % 4
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    with torch.no_grad():
        algorithm._joint_pass(x, y, wrong)
    good = goodness_of(goodness)

    def both(outputs, _):
        theta = 1.0 if goodness == "mean" else float(outputs[0].shape[1])
        over = [good(z) for z in outputs]
        if loss == "symba":
            return functional.softplus(-alpha * (over[0] - over[1])).mean()
        return (functional.softplus(theta - over[0]) + functional.softplus(over[1] - theta)).mean()

    assert_follows(algorithm, before, [with_labels(x, y), with_labels(x, wrong)], both)


@pytest.mark.parametrize("joint", [True, False])
def test_peers_pull_towards_the_mean_activity_of_the_layer(joint):
    peer = 3.0
    algorithm = build(peer=peer, passes="joint" if joint else "sequential")
    x, y = batch_for(algorithm, 10)
    wrong = (y + 1) % 4
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    with torch.no_grad():
        if joint:
            algorithm._joint_pass(x, y, wrong)
        else:
            algorithm._pass(x, y, positive=True)

    def loss(outputs, inner):
        theta = outputs[0].shape[1]
        running = 0.9 * 0.5 + 0.1 * outputs[0].detach().mean(0)
        pull = 2 * peer / len(x) * (running - running.mean())
        over = [z.square().sum(1) for z in outputs]
        total = functional.softplus(theta - over[0]).mean() + (inner[0] * pull).sum()
        return total + functional.softplus(over[1] - theta).mean() if joint else total

    inputs = [with_labels(x, y)] + ([with_labels(x, wrong)] if joint else [])
    assert_follows(algorithm, before, inputs, loss)


def test_peers_move_the_weights():
    steps = []
    for peer in (0.0, 3.0):
        algorithm = build(peer=peer)
        with torch.no_grad():
            algorithm._pass(*batch_for(algorithm, 10), positive=True)
        steps.append(parameters(algorithm)["w1"].clone())
    assert (steps[0] - steps[1]).abs().max() > 1e-3


def test_first_steps_agree_between_implementations():
    """On one layer and from the same weights, joint autograd = positive + negative gradient."""
    weights = {}
    for key, options in {
        "sequential": {},
        "joint": {"passes": "joint"},
        "autograd": {"implementation": "autograd"},
    }.items():
        settings = {"momentum": 0.0, "lr": 1e-5, **options}
        algorithm = build_algorithm("forward_forward", "mlp-24-16-4", settings)
        algorithm.step(*batch_for(algorithm, 10))
        weights[key] = parameters(algorithm)["w1"].detach().clone()
    start = parameters(build_algorithm("forward_forward", "mlp-24-16-4"))["w1"].detach()
    moved = (weights["autograd"] - start).norm()
    assert moved > 0
    assert (weights["autograd"] - weights["joint"]).norm() < 1e-3 * moved
    # The sequential form updates between the passes, which is of second order in the rate.
    assert (weights["autograd"] - weights["sequential"]).norm() < 1e-2 * moved


def test_the_classifier_follows_its_own_cross_entropy_and_moves_no_hidden_layer():
    algorithm = build(score="head", head_lr=LR)
    x, y = batch_for(algorithm, 10)
    with torch.no_grad():
        for held in algorithm._head.static_tensors():
            held.tensor.normal_(generator=torch.Generator().manual_seed(1))
        before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
        algorithm._neutral_pass(x, y)
    after = parameters(algorithm)
    assert set(after) == {"w1", "b1", "w2", "b2", "classifier2"}
    head = before["classifier2"].requires_grad_()
    h = x.clone()
    h[:, :4] = 0.25
    h = normalised(h)
    for number in (1, 2):
        h = functional.linear(h, before[f"w{number}"], before[f"b{number}"])
        h = normalised(torch.relu(h))
    functional.cross_entropy(h @ head.T, y).backward()
    torch.testing.assert_close(after["classifier2"], (head - LR * head.grad).detach())
    assert all(torch.equal(after[name], before[name]) for name in ("w1", "b1", "w2", "b2"))
    torch.testing.assert_close(algorithm.predict(x), h @ after["classifier2"].T)


@pytest.mark.parametrize("form", [{}, {"implementation": "autograd"}, {"weights": "binary"}])
@pytest.mark.parametrize(("init", "fan"), [("fan_in", 400), ("fan_out", 100)])
def test_first_weights_have_the_variance_of_their_fan(form, init, fan):
    algorithm = build_algorithm("forward_forward", "mlp-400-100-10", {"init": init, **form})
    held = parameters(algorithm)
    assert abs(float(held["w1"].detach().var()) * fan - 1) < 0.05
    assert not held["b1"].any()


def test_random_wrong_labels_are_wrong_and_cover_all_other_classes():
    y = torch.arange(4).repeat(200)
    wrong = random_wrong_labels(y, 4, torch.Generator().manual_seed(0))
    assert (wrong != y).all()
    assert {(int(a), int(b)) for a, b in zip(y, wrong, strict=True)} == {
        (a, b) for a in range(4) for b in range(4) if a != b
    }


def test_hard_wrong_labels_are_wrong_and_as_likely_as_they_are_believed():
    p = torch.tensor([0.5, 0.3, 0.2, 0.0]).repeat(20_000, 1)
    y = torch.zeros(20_000, dtype=torch.int64)
    wrong = sample_hard_negatives(p, y, torch.Generator().manual_seed(0))
    share = torch.bincount(wrong, minlength=4) / len(wrong)
    assert share[0] == 0.0
    assert share[3] == 0.0
    assert abs(float(share[1]) - 0.6) < 0.01
    assert torch.equal(p[0], torch.tensor([0.5, 0.3, 0.2, 0.0]))


def test_a_certain_classifier_still_gives_a_wrong_label():
    p = torch.tensor([[1.0, 0.0, 0.0]])
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        assert sample_hard_negatives(p, torch.tensor([0]), generator) != 0


def test_pixels_are_put_back_even_if_the_pass_fails():
    x = torch.rand(3, 8)
    before = x.clone()

    def fail():
        with labelled(x, torch.tensor([0, 1, 2]), 4, 2.0, "forward"):
            assert torch.equal(x[:, :4], 2.0 * torch.eye(4)[:3])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(x, before)


def test_the_neutral_label_is_an_equal_share_of_every_class():
    x = torch.rand(3, 8)
    with labelled(x, None, 4, 2.0, "forward"):
        assert (x[:, :4] == 0.5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "symba"}, "loss=symba compares the two passes and needs passes=joint"),
        ({"implementation": "autograd", "score": "head"}, "knows nothing of score"),
        (
            {"implementation": "autograd", "negatives": "hard", "passes": "joint"},
            "knows nothing of passes, negatives",
        ),
    ],
)
def test_choices_that_exclude_each_other_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        build(**options)
