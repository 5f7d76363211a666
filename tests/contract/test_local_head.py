"""Every layer follows the gradient of its own head's loss and of no other."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def head_of(held, number):
    """Weights and bias of a head."""
    if f"head{number}" in held:
        return held[f"head{number}"], None
    return held[f"v{number}"], held[f"c{number}"]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("keep", [1.0, 0.6])
@pytest.mark.parametrize("head", ["trained", "fixed"])
def test_layers_and_heads_follow_the_gradient_of_their_local_loss(head, keep, parts):
    """One step without momentum: p moves by -lr dL_l/dp, with h_{l-1} and v_l as they were."""
    lr = 0.3
    options = {"momentum": 0.0, "lr": lr, "head": head, "keep": keep, "parts": parts}
    algorithm = build_algorithm("local_head", NET, options)
    x, y = batch_for(algorithm, 12)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    algorithm.step(x, y)
    after = parameters(algorithm)
    trained = {n: t.requires_grad_() for n, t in before.items() if not n.startswith("head")}
    h = x
    for number in (1, 2, 3):
        h = torch.relu(functional.linear(h, before[f"w{number}"], before[f"b{number}"]))
        functional.cross_entropy(functional.linear(h, *head_of(before, number)), y).backward()
        h = h.detach()
        if number < 3:  # the next layer misses units, the head saw all
            h = h * algorithm._dropout.apply_(torch.ones_like(h), number)
    for name, tensor in trained.items():
        assert tensor.grad.abs().max() > 0
        torch.testing.assert_close(after[name], (tensor - lr * tensor.grad).detach())
    assert len(trained) == (12 if head == "trained" else 6)
    for number in (1, 2, 3):
        if head == "fixed":
            assert torch.equal(after[f"head{number}"], before[f"head{number}"])


def test_no_layer_hears_of_a_later_one():
    """Another last layer and head: the first two layers take the same steps, to the bit."""
    runs = []
    for disturbed in (False, True):
        algorithm = build_algorithm("local_head", NET)
        if disturbed:
            for name in ("w3", "b3", "v3", "c3"):
                parameters(algorithm)[name].mul_(-2.0)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 12, seed))
        runs.append(parameters(algorithm))
    for name, tensor in runs[0].items():
        assert torch.equal(tensor, runs[1][name]) == ("3" not in name), name


def test_the_classifier_of_the_net_is_the_last_head():
    """One head per hidden layer and no other classifier; the widths are the model's."""
    for head, names in (("trained", "wbvc"), ("fixed", "wb")):
        held = parameters(build_algorithm("local_head", NET, {"momentum": 0.0, "head": head}))
        expected = {f"{name}{number}" for name in names for number in (1, 2, 3)}
        expected |= {f"head{number}" for number in (1, 2, 3)} if head == "fixed" else set()
        assert set(held) == expected
        for number, width in ((1, 16), (2, 32), (3, 8)):
            assert head_of(held, number)[0].shape == (4, width)


@pytest.mark.parametrize("head", ["trained", "fixed"])
def test_the_last_head_or_all_of_them_vote(head):
    last, total = (
        build_algorithm("local_head", NET, {"head": head, "predict": vote, "keep": 0.5})
        for vote in ("last", "sum")
    )
    x, y = batch_for(last, 12)
    for algorithm in (last, total):
        algorithm.step(x, y)
    held = parameters(last)
    h, scores = x, []
    for number in (1, 2, 3):
        h = torch.relu(functional.linear(h, held[f"w{number}"], held[f"b{number}"]))
        scores.append(functional.linear(h, *head_of(held, number)))
    torch.testing.assert_close(last.predict(x), scores[-1])
    torch.testing.assert_close(total.predict(x), sum(scores))


def test_memory_does_not_grow_with_depth_and_holds_no_weight_gradient():
    """Two layers' outputs, a gradient of one, the error and db: whatever the depth."""
    rows, width, classes = 16, 40, 3
    for depth in (2, 3, 12):
        for parts in (1, 5):
            algorithm = build_algorithm("local_head", f"mlp-20-{width}x{depth}-3", {"parts": parts})
            plan = predict(algorithm, rows)
            units = 2 * rows * width + rows * classes + (rows + 1) * width // parts
            assert plan.peak_bytes == 4 * units
            assert 0.9 * plan.peak_bytes < plan.device_bytes <= plan.peak_bytes
            gradients = max(p.categories.get(Category.GRADIENTS, 0) for p in plan.phases.values())
            assert gradients < 4 * width * width


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "lr": 0.01}, {"head": "fixed"}])
def test_parts_take_the_same_steps(options):
    runs = []
    for parts in (1, 3):
        algorithm = build_algorithm("local_head", NET, {**options, "parts": parts})
        for seed in range(4):
            algorithm.step(*batch_for(algorithm, 12, seed))
        runs.append(parameters(algorithm))
    compared = [name for name in runs[0] if name in runs[1] and "." not in name]
    assert len(compared) in (9, 12)
    for name in compared:
        torch.testing.assert_close(runs[0][name], runs[1][name], rtol=1e-4, atol=1e-6)
    for name in ("momentum", "mean", "square"):
        sums = [sum(t.numel() for n, t in run.items() if n.endswith(name)) for run in runs]
        assert sums[0] == sums[1]


def test_in_parts_adam_needs_a_part_of_the_weight_gradient():
    whole, cut = (
        build_algorithm("local_head", "mlp-784-1000x3-10", {"optimizer": "adam", "parts": parts})
        for parts in (1, 10)
    )
    assert predict(cut, 100).peak_bytes * 3 < predict(whole, 100).peak_bytes


def test_more_parts_than_units_are_refused():
    with pytest.raises(ConfigurationError, match="9 parts of a layer with 8 units in 'mlp-24-16"):
        build_algorithm("local_head", NET, {"parts": 9})


def test_multiply_accumulates_are_those_of_one_pass_one_product_and_the_heads():
    rows = 12
    for head, products in (("trained", 3), ("fixed", 2)):
        algorithm = build_algorithm("local_head", NET, {"head": head})
        layers = sum(rows * i * o for i, o in algorithm.model.layers[:-1])
        heads = sum(rows * o * 4 for o in algorithm.model.hidden)
        total = predict(algorithm, rows).operations.total().macs.total()
        assert total == 2 * layers + products * heads


def test_it_needs_less_than_backprop_on_the_same_net():
    for model, rows in (("mlp-64-128-128-10", 32), ("mlp-784-1000x3-10", 100)):
        for options in ({}, {"optimizer": "adam"}):
            ours, bp = (
                predict(build_algorithm(name, model, options), rows).peak_bytes
                for name in ("local_head", "backprop")
            )
            assert ours < bp


def test_a_net_without_hidden_layers_is_refused():
    with pytest.raises(ConfigurationError, match="local_head trains hidden layers"):
        build_algorithm("local_head", "mlp-24-4")


@pytest.mark.parametrize(("option", "value"), [("head", "none"), ("predict", "all"), ("keep", 0)])
def test_an_option_that_cannot_be_is_refused(option, value):
    with pytest.raises(ConfigurationError, match=f"option '{option}' of local_head"):
        build_algorithm("local_head", NET, {option: value})
