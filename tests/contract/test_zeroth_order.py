"""Zeroth order: the slope is the directional derivative, and nothing but inference lives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.contract import test_memory_contract as contract
from tests.contract.cases import NETS, batch_for
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.zeroth_order.rule import SEEDS, ZerothOrder
from trainfit.bench.profiler import profile_step

NET = "mlp-24-16-12-4"
DISTRIBUTIONS = ["gaussian", "rademacher"]


def flat(algorithm):
    return torch.cat([h.tensor.reshape(-1) for h in algorithm.static_tensors()]).clone()


def seeds_of(algorithm, count):
    """The seeds of the next step, drawn from a copy of the generator."""
    generator = torch.Generator()
    generator.set_state(algorithm.generator.get_state())
    return [int(torch.randint(SEEDS, (1,), generator=generator)) for _ in range(count)]


def direction(model, options, seed, rows):
    """The whole z of a seed: what zero weights become when they move by it."""
    algorithm = build_algorithm("zeroth_order", model, options)
    for held in algorithm.static_tensors():
        held.tensor.zero_()
    algorithm._move(seed, 1.0, rows)
    return flat(algorithm)


def loss_and_gradient(algorithm, x, y):
    """The mean cross-entropy and autograd's gradient of it, flat."""
    leaves = {h.name: h.tensor.clone().requires_grad_() for h in algorithm.static_tensors()}
    layers = len(leaves) // 2
    h = x
    for number in range(1, layers + 1):
        h = functional.linear(h, leaves[f"w{number}"], leaves[f"b{number}"])
        h = torch.relu(h) if number < layers else h
    loss = functional.cross_entropy(h, y)
    loss.backward()
    return loss.detach(), torch.cat([leaf.grad.reshape(-1) for leaf in leaves.values()])


def set_flat(algorithm, values):
    at = 0
    for held in algorithm.static_tensors():
        count = held.tensor.numel()
        held.tensor.copy_(values[at : at + count].view(held.tensor.shape))
        at += count


def test_the_loss_is_the_mean_cross_entropy():
    algorithm = build_algorithm("zeroth_order", NET)
    x, y = batch_for(algorithm, 10)
    with torch.no_grad():
        loss = algorithm._loss(x, y, again=False)
        assert loss == pytest.approx(float(functional.cross_entropy(algorithm.predict(x), y)))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_step_goes_down_the_slope_along_its_direction(distribution):
    """w moves by -lr (dL/dw . z) z, up to rounding and the rectifiers that open in between."""
    lr = 0.5
    options = {"lr": lr, "distribution": distribution}
    algorithm = build_algorithm("zeroth_order", NET, options)
    x, y = batch_for(algorithm, 10)
    z = direction(NET, options, seeds_of(algorithm, 1)[0], 10)
    _, gradient = loss_and_gradient(algorithm, x, y)
    before = flat(algorithm)
    algorithm.step(x, y)
    slope = gradient @ z
    assert abs(slope) > 0.1
    torch.testing.assert_close(flat(algorithm), before - lr * slope * z, rtol=0, atol=2e-3)
    moved = before - flat(algorithm)
    assert float(moved @ z / (z @ z) / lr) == pytest.approx(float(slope), abs=2e-3)


def test_the_error_of_the_slope_is_of_second_order_in_eps():
    """A tenth of eps, a hundredth of the error: in float64, and with all rectifiers open."""
    errors = []
    for eps in (1e-2, 1e-3):
        algorithm = build_algorithm("zeroth_order", NET, {"eps": eps, "lr": 1.0})
        x, y = batch_for(algorithm, 10)
        x = x.double()
        algorithm._net.parameters = {n: p.double() for n, p in algorithm._net.parameters.items()}
        for number in (1, 2):
            algorithm._net.parameters[f"b{number}"].add_(5.0)
        z = direction(NET, {}, seeds_of(algorithm, 1)[0], 10).double()
        _, gradient = loss_and_gradient(algorithm, x, y)
        before = flat(algorithm)
        algorithm.step(x, y)
        slope = (before - flat(algorithm)) @ z / (z @ z)
        errors.append(abs(float(slope - gradient @ z)))
    assert errors[0] < 0.1
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_many_directions_point_down_the_gradient(distribution):
    """n random directions in d dimensions see the share n / (n + d) of a square: the cosine's."""
    model = "mlp-24-16-4"
    algorithm = build_algorithm(
        "zeroth_order", model, {"samples": 400, "lr": 1e-2, "distribution": distribution}
    )
    x, y = batch_for(algorithm, 16)
    _, gradient = loss_and_gradient(algorithm, x, y)
    before = flat(algorithm)
    algorithm.step(x, y)
    cosine = float(functional.cosine_similarity(before - flat(algorithm), gradient, dim=0))
    expected = math.sqrt(400 / (400 + len(before)))
    assert cosine == pytest.approx(expected, abs=0.1)
    assert expected > 0.6


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_samples_are_averaged_at_one_and_the_same_point(distribution):
    """The paper's n-SPSA, written naively with whole directions."""
    lr, eps, options = 0.3, 1e-3, {"samples": 5, "lr": 0.3, "distribution": distribution}
    algorithm = build_algorithm("zeroth_order", NET, options)
    naive = build_algorithm("zeroth_order", NET, options)
    x, y = batch_for(algorithm, 10)
    start = flat(algorithm)
    step = torch.zeros_like(start)
    for seed in seeds_of(algorithm, 5):
        z = direction(NET, options, seed, 10)
        losses = []
        for sign in (1, -1):
            set_flat(naive, start + sign * eps * z)
            losses.append(loss_and_gradient(naive, x, y)[0])
        step += (losses[0] - losses[1]) / (2 * eps) * z / 5
    algorithm.step(x, y)
    torch.testing.assert_close(flat(algorithm), start - lr * step, rtol=0, atol=1e-3)
    assert (lr * step).abs().max() > 0.05


@pytest.mark.parametrize(("samples", "passes"), [(1, 3), (4, 15)])
def test_restoring_and_descending_are_one_pass(samples, passes, monkeypatch):
    """4 n - 1 passes over the weights: all directions but the last are undone and taken apart."""
    algorithm = build_algorithm("zeroth_order", NET, {"samples": samples})
    calls = []
    move = ZerothOrder._move
    monkeypatch.setattr(ZerothOrder, "_move", lambda *args: (calls.append(args[1]), move(*args))[1])
    algorithm.step(*batch_for(algorithm, 10))
    assert len(calls) == passes
    assert len(set(calls)) == samples


@pytest.mark.parametrize("samples", [1, 3])
def test_at_next_to_no_rate_the_weights_stay_but_for_rounding(samples):
    algorithm = build_algorithm("zeroth_order", NET, {"lr": 1e-20, "samples": samples})
    x, y = batch_for(algorithm, 10)
    start = flat(algorithm)
    algorithm.step(x, y)
    one = (flat(algorithm) - start).abs().max()
    for _ in range(99):
        algorithm.step(x, y)
    hundred = (flat(algorithm) - start).abs().max()
    unit = torch.finfo(torch.float32).eps
    assert one <= samples * 2 * unit * start.abs().max()
    assert 0 < hundred <= samples * 20 * unit * start.abs().max()  # a walk, not a drift


def test_directions_have_unit_variance_and_differ_between_seeds():
    model = "mlp-64-64-64-10"
    for distribution in DISTRIBUTIONS:
        options = {"distribution": distribution}
        z, other = (direction(model, options, seed, 64) for seed in (1, 2))
        assert abs(z.mean()) < 0.05
        assert abs(z.var() - 1) < 0.05
        assert abs(z @ other / len(z)) < 0.05
        assert torch.equal(z, direction(model, options, 1, 64))
        assert (distribution == "rademacher") == torch.equal(z.abs(), torch.ones_like(z))


@pytest.mark.parametrize(("model", "rows"), [*NETS, ("mlp-784-500-500-10", 1)])
def test_a_step_needs_what_inference_needs(model, rows):
    """Not a byte more: the tile is gone before the first activation, and no larger than two."""
    algorithm = build_algorithm("zeroth_order", model)
    x, y = batch_for(algorithm, rows)
    step = profile_step(lambda: algorithm.step(x, y), warmup=1, repeats=2)
    inference = profile_step(lambda: algorithm.predict(x), warmup=1, repeats=2)
    assert step.peak_dynamic_bytes == inference.peak_dynamic_bytes
    assert step.phases["update"].peak_bytes <= inference.peak_dynamic_bytes
    assert step.phases["gradient"].peak_bytes == 0
    assert not any("gradients" in phase.categories for phase in step.phases.values())
    assert [h.name for h in algorithm.static_tensors()] == [
        f"{kind}{n}" for n in range(1, len(algorithm.model.layers) + 1) for kind in "wb"
    ]


@pytest.mark.parametrize(("model", "rows"), NETS)
def test_the_prediction_is_exact_for_more_than_one_sample(model, rows):
    contract.test_the_trace_is_what_is_measured("zeroth_order", {"samples": 3}, model, rows)
