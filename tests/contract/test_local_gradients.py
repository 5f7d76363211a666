"""Closed-form local gradients equal autograd's on the same local loss, and updates follow."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.numerics.binary.packing import unpack


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def straight_through(t):
    """mean(abs(t)) sign(t), sign(0) = +1, with the gradient of the identity."""
    binary = torch.where(t >= 0, 1.0, -1.0) * t.abs().mean()
    return t + (binary - t).detach()


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"update": "fused"}, {"kernel": "tiles"}])
def test_described_tinyfoa_has_the_gradient_of_its_local_loss(options, depth, place, monkeypatch):
    """The gradient of slice (i, j) is autograd's, straight-through, cut where abs(z) >= 1."""
    algorithm = build_algorithm("tinyfoa", "mlp-24-16-32-8-4", options)
    algorithm.enter_stage(depth)
    algorithm._rule.enter_slice(2 * place[0] + place[1])
    x, y = batch_for(algorithm, 10)
    held = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    seen = {}
    adam = type(algorithm._rule._adam)

    def apply_rows(self, name, parameter, gradient, rows):
        seen.setdefault("w", []).append(gradient.clone())

    def apply(self, name, parameter, gradient):
        seen["b"] = gradient.clone()

    monkeypatch.setattr(adam, "apply_rows", apply_rows)
    monkeypatch.setattr(adam, "apply", apply)
    algorithm.step(x, y)

    h = x
    for number in range(1, depth + 1):
        z = functional.linear(h, straight_through(held[f"latent{number}"]), held[f"b{number}"])
        h = (z > 0) * z.abs().mean()
    w = held[f"latent{depth + 1}"].requires_grad_()
    b = held[f"b{depth + 1}"].requires_grad_()
    z = functional.linear(h, straight_through(w), b)
    z.retain_grad()
    passed = torch.where(z.abs() < 1, z, z.detach())  # the cut, as a path for the gradient
    activation = torch.relu(straight_through(passed))
    functional.cross_entropy(activation @ held[f"head{depth + 1}"].T, y).backward()
    height, width = w.shape[0] // 2, w.shape[1] // 2
    rows = slice(place[0] * height, (place[0] + 1) * height)
    columns = slice(place[1] * width, (place[1] + 1) * width)
    torch.testing.assert_close(torch.cat(seen["w"]), w.grad[rows, columns], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen["b"], b.grad[rows], rtol=1e-4, atol=1e-6)
    assert w.grad.abs().sum() > 0


@pytest.mark.parametrize("options", [{"update": "fused"}, {"kernel": "tiles"}])
@pytest.mark.parametrize("features", ["recomputed", "cached"])
def test_described_tinyfoa_gives_the_same_bits_however_it_is_computed(features, options):
    """Sums of the same numbers in the same order: all but the fused product of the gradient."""
    runs = []
    for chosen in ({"features": features}, {"features": features, **options}):
        algorithm = build_algorithm("tinyfoa", "mlp-24-16-32-8-4", chosen)
        algorithm.enter_stage(1)
        for seed in range(5):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs.append(parameters(algorithm))
    for name, tensor in runs[0].items():
        if tensor.dtype is torch.uint8 or "kernel" in options:
            assert torch.equal(tensor, runs[1][name]), name
        else:
            torch.testing.assert_close(tensor, runs[1][name])


def test_described_tinyfoa_moves_its_slice_only_and_keeps_its_bits_true():
    algorithm = build_algorithm("tinyfoa", "mlp-24-16-32-8-4", {"lr": 0.05})
    algorithm.enter_stage(1)
    algorithm._rule.enter_slice(1)  # rows 0, columns 1 of the grid
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    for seed in range(3):
        algorithm.step(*batch_for(algorithm, 10, seed))
    algorithm._rule.enter_slice(2)  # puts the slice back
    after = parameters(algorithm)
    moved = (after["latent2"] != before["latent2"]).nonzero()
    assert len(moved)
    assert (moved[:, 0] < 16).all()
    assert (moved[:, 1] >= 8).all()
    changed = {n for n in before if n in after and not torch.equal(before[n], after[n])}
    assert changed <= {"latent2", "packed2", "b2", "scale2", "slice", "w.mean", "w.square"} | {
        "b.mean",
        "b.square",
    }
    for number in (1, 2, 3):
        latent = after[f"latent{number}"]
        width = latent.shape[1] // 2
        bits = torch.cat([unpack(after[f"packed{number}"][m], width) for m in range(2)], dim=1)
        assert torch.equal(bits, (latent >= 0).float())
        torch.testing.assert_close(after[f"scale{number}"], latent.abs().mean())
    assert after["latent2"].abs().max() <= 1


def test_released_tinyfoa_moves_all_but_one_diagonal_block():
    algorithm = build_algorithm("tinyfoa", "mlp-24-16-32-8-4", {"variant": "released", "lr": 0.01})
    for epoch, block in ((0, 1), (1, 0), (2, 1)):
        algorithm.begin_epoch(epoch, 4)
        before = parameters(algorithm)["w1"].detach().clone()
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        moved = parameters(algorithm)["w1"].detach() != before
        frozen = moved[8 * block : 8 * block + 8, 12 * block : 12 * block + 12]
        assert not frozen.any()
        assert moved.float().mean() > 0.5


def test_released_tinyfoa_cuts_its_gradient_and_clips_its_weights():
    algorithm = build_algorithm("tinyfoa", "mlp-24-16-8-4", {"variant": "released", "lr": 0.5})
    for seed in range(10):
        algorithm.step(*batch_for(algorithm, 10, seed))
    w = parameters(algorithm)["w1"].detach()
    assert w.abs().max() <= 1
    t = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0], requires_grad=True)
    from trainfit.algorithms.tinyfoa.released.mlp import binarise

    out = binarise(t)
    out.backward(torch.ones(6))
    assert torch.equal(t.grad, torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(out.detach(), t.detach().sign() * t.detach().abs().mean())


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint": 2},
        {"micro_batch": 4},
        {"micro_batch": 3},
        {"update": "fused"},
        {"checkpoint": 2, "update": "fused"},
        {"update": "product"},
        {"checkpoint": 2, "update": "product"},
        {"checkpoint": 3, "micro_batch": 4},
    ],
)
def test_memory_saving_backprop_takes_the_same_step(options):
    results = []
    for chosen in ({}, options):
        algorithm = build_algorithm("backprop", "mlp-24-16-32-8-4", chosen)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        results.append(parameters(algorithm))
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=1e-5, atol=1e-6)


def test_backprop_follows_torchs_own_optimiser():
    algorithm = build_algorithm("backprop", "mlp-24-16-4", {"lr": 0.1, "momentum": 0.9})
    held = parameters(algorithm)
    its = {n: held[n].detach().clone().requires_grad_() for n in ("w1", "b1", "w2", "b2")}
    optimiser = torch.optim.SGD(its.values(), lr=0.1, momentum=0.9)
    for seed in range(5):
        x, y = batch_for(algorithm, 10, seed)
        algorithm.step(x, y)
        h = torch.relu(functional.linear(x, its["w1"], its["b1"]))
        functional.cross_entropy(functional.linear(h, its["w2"], its["b2"]), y).backward()
        optimiser.step()
        optimiser.zero_grad()
    for name, tensor in its.items():
        torch.testing.assert_close(held[name].detach(), tensor.detach())
