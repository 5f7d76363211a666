"""Peer normalisation reaches silent units, in every form, and is as strong as its authors'.

Shape suffixes: R rows of both passes, B batch, I inputs and O outputs of a layer.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.contract.cases import batch_for
from trainfit.algorithms import build_algorithm
from trainfit.bench.trace.prediction import predict

HINTON = {"lr": 5e-4, "peer": 0.03, "passes": "joint"}
"""epsilon 0.01, delay 0.9 and lambdamean 0.03 of ffnew.m."""


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def silence(algorithm):
    """A first unit that never speaks, and of which nobody has heard yet."""
    held = parameters(algorithm)
    w, b = held["w1"].detach(), held["b1"].detach()
    # A binary weight of 0 would count as positive.
    w.view(-1, w.shape[-1])[0] = -1e-4 if algorithm.options.weights == "binary" else 0.0
    b[0] = -0.02
    held["mean activity 1"][0] = 0.0
    return held


FORMS = [
    {"passes": "joint"},
    {"passes": "sequential"},
    {"passes": "joint", "negatives": "hard"},
    {"passes": "sequential", "score": "head"},
    {"passes": "joint", "optimizer": "adam"},
    {"passes": "joint", "momentum": 0.0, "lr": 0.005},
    {"passes": "joint", "weights": "binary"},
    {"passes": "joint", "activations": "binary"},
    {"passes": "sequential", "weights": "binary", "activations": "binary"},
    {"passes": "sequential", "implementation": "autograd"},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_silent_unit_is_pulled_up_until_it_speaks(form):
    algorithm = build_algorithm("forward_forward", "mlp-784-40-10", {**HINTON, **form})
    held = silence(algorithm)
    x, y = batch_for(algorithm, 20)
    running = held["mean activity 1"]
    silent = 0
    while silent < 40 and running[0] == 0:
        algorithm.step(x.abs(), y)
        silent += 1
    assert running[0] > 0
    assert silent > 1  # it was silent in the first step


def test_the_closed_form_and_autograd_pull_alike():
    """Ten steps with the same wrong labels, one unit silent at first."""
    ends = []
    for form in ({"passes": "joint"}, {"implementation": "autograd"}):
        algorithm = build_algorithm("forward_forward", "mlp-64-40-30-10", {"peer": 0.5, **form})
        held = silence(algorithm)
        start = {name: tensor.detach().clone() for name, tensor in held.items()}
        for seed in range(10):
            x, y = batch_for(algorithm, 20, seed)
            algorithm.step(x.abs(), y)
        ends.append({name: tensor.detach() for name, tensor in held.items()})
    assert float(start["b1"][0]) < 0.0 < float(ends[0]["mean activity 1"][0])
    for name in ("w1", "b1", "w2", "b2", "mean activity 1", "mean activity 2"):
        moved = (ends[1][name] - start[name]).norm()
        assert moved > 0
        assert (ends[0][name] - ends[1][name]).norm() < 1e-4 * moved


def step_of_theirs(state, x_RI, *, rate, goodness, peer, momentum, average):
    """One step of descent on every layer in double precision, written from ffnew.m's equations.

    Args:
        state: Per layer ``w_OI``, ``b_O``, their velocities and the running means; changed.
        x_RI: Positive rows, then as many negative ones, scaled to a mean square of 1.
        rate: Learning rate.
        goodness: Factor of ``-+(1 - p) z``, the gradient of the loss of a row.
        peer: Factor of ``m_o - mean m`` in a positive row.
        momentum: Share of the velocity that is kept.
        average: Whether the gradient enters the velocity with the rest, or in full.
    """
    h_RI, batch = x_RI, len(x_RI) // 2
    sign_R1 = np.repeat([-1.0, 1.0], batch)[:, None]
    for layer in state:
        z_RO = np.maximum(h_RI @ layer["w"].T + layer["b"], 0.0)
        excess_R1 = (z_RO**2).sum(1, keepdims=True) - z_RO.shape[1]
        dz_RO = goodness * sign_R1 / (1.0 + np.exp(-sign_R1 * excess_R1)) * z_RO
        layer["m"] = 0.9 * layer["m"] + 0.1 * z_RO[:batch].mean(0)
        dz_RO[:batch] += peer * (layer["m"] - layer["m"].mean())
        share = 1.0 - momentum if average else 1.0
        for name, gradient in (("w", dz_RO.T @ h_RI), ("b", dz_RO.sum(0))):
            velocity = layer[f"v{name}"] = momentum * layer[f"v{name}"] + share * gradient
            layer[name] = layer[name] - rate * velocity
        length_R1 = np.sqrt((z_RO**2).sum(1, keepdims=True))
        h_RI = z_RO * z_RO.shape[1] ** 0.5 / (length_R1 + 1e-8)


THEIRS = {
    # The gradient is of (1 - p) z, divided by the batch; the velocity is a moving average.
    "Hinton": (
        {"lr": 0.01 * 0.1 / 2, "peer": 0.03},
        lambda batch, width: {
            "rate": 0.01,
            "goodness": 1.0 / batch,
            "peer": 0.03 / batch,
            "average": True,
        },
    ),
    # Binary cross-entropy of all 2 B rows; the peer loss is a mean over units, and reaches the
    # activities through the tenth that is new in the running mean.
    "loeweX": (
        {"lr": 2e-3 / 2, "peer": 0.2 * 30.0 / 40},
        lambda batch, width: {
            "rate": 2e-3,
            "goodness": 2.0 / (2 * batch),
            "peer": 30.0 * 2.0 / width * 0.1 / batch,
            "average": False,
        },
    ),
}


@pytest.mark.parametrize("author", THEIRS)
def test_twenty_steps_are_those_of_the_authors_equations(author):
    """Two layers of 40 units, one of them silent at first, in float64 with NumPy."""
    ours, theirs = THEIRS[author]
    algorithm = build_algorithm("forward_forward", "mlp-64-40-40-10", {"passes": "joint", **ours})
    held = silence(algorithm)
    x, y = batch_for(algorithm, 20)
    wrong = (y + 3) % 10
    pair = torch.cat((x, x)).double().abs().numpy()
    pair[:, :10] = 0.0
    pair[np.arange(40), torch.cat((y, wrong)).numpy()] = 1.0
    pair *= 8.0 / np.linalg.norm(pair, axis=1, keepdims=True)
    state = []
    for number in (1, 2):
        w, b, m = (held[f"{n}{number}"].double().numpy() for n in ("w", "b", "mean activity "))
        state.append({"w": w, "b": b, "m": m, "vw": 0.0, "vb": 0.0})
    start = [dict(layer) for layer in state]
    for _ in range(20):
        with torch.no_grad():
            algorithm._joint_pass(x.abs(), y, wrong)
        step_of_theirs(state, pair, momentum=0.9, **theirs(20, 40))
    for number, (layer, old) in enumerate(zip(state, start, strict=True), start=1):
        for name, ours_name in (("w", "w"), ("b", "b"), ("m", "mean activity ")):
            moved = np.linalg.norm(layer[name] - old[name])
            apart = np.linalg.norm(layer[name] - held[f"{ours_name}{number}"].double().numpy())
            assert moved > 0
            assert apart < 1e-4 * moved, (name, number, apart / moved)
    assert state[0]["m"][0] > 0  # it has spoken


def test_the_pull_takes_a_row_and_no_tensor_of_the_layers_size():
    """4 x 2000 at batch 100: 4,810,400 B when the pull was gated; 3,202,412 B without peers."""
    sizes = {
        peer: predict(
            build_algorithm(
                "forward_forward",
                "mlp-784-2000x4-10",
                {"passes": "joint", "score": "head", "peer": peer},
            ),
            100,
        ).peak_bytes
        for peer in (0.0, 0.03)
    }
    assert sizes[0.0] == 3_202_412
    # A row of 2000 behind the input and behind the output, its factor, the mean of the means.
    assert sizes[0.03] == 3_202_412 + 2 * 8_000 + 4 + 4
