"""Batch normalisation in layers with their own head."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.memory.operations import Kind, NumberFormat
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def built(**options):
    return build_algorithm("local_head", NET, {"batch_norm": True, **options})


def disturb(algorithm):
    """Gains, shifts and running statistics as after some training."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in parameters(algorithm).items():
        if name.startswith(("gain", "variance")):
            tensor.uniform_(0.5, 2.0, generator=generator)
        if name.startswith(("shift", "mean")):
            tensor.uniform_(-0.3, 0.3, generator=generator)
    return algorithm


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("keep", [1.0, 0.6])
@pytest.mark.parametrize("rows", [2, 12, 19])
@pytest.mark.parametrize("head", ["trained", "fixed"])
def test_layers_follow_the_gradient_of_their_local_loss(head, rows, keep, parts):
    lr = 0.3
    algorithm = disturb(built(momentum=0.0, lr=lr, head=head, keep=keep, parts=parts))
    x, y = batch_for(algorithm, rows)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    algorithm.step(x, y)
    after = parameters(algorithm)
    running = {n: before[n].double() for n in before if n.startswith(("mean", "variance"))}
    p = {
        name: tensor.double().requires_grad_()
        for name, tensor in before.items()
        if name not in running and not name.startswith("head")
    }
    h = x.double()
    for number in (1, 2, 3):
        h = functional.batch_norm(
            h @ p[f"w{number}"].T,
            running[f"mean{number}"],
            running[f"variance{number}"],
            p[f"gain{number}"],
            p[f"shift{number}"],
            training=True,
        ).relu()
        v = p[f"v{number}"] if head == "trained" else before[f"head{number}"].double()
        functional.cross_entropy(functional.linear(h, v, p.get(f"c{number}")), y).backward()
        h = h.detach()
        if number < 3:
            h = h * algorithm._dropout.apply_(torch.ones(h.shape), number).double()
    assert {name.rstrip("123") for name in p} >= {"w", "gain", "shift"}
    assert not any(name.startswith("b") for name in p)
    for name, tensor in p.items():
        moved = (before[name] - after[name]).double()
        off = torch.linalg.vector_norm(moved - lr * tensor.grad)
        # Of two rows the normalised values are 1 and -1, whatever the weights: almost no gradient.
        least = 1e-5 if rows == 2 else 1e-7
        assert off < 1e-4 * torch.linalg.vector_norm(lr * tensor.grad) + least, name
    for name, values in running.items():
        torch.testing.assert_close(after[name].double(), values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("predict", ["last", "sum"])
def test_prediction_normalises_by_the_running_statistics_and_leaves_them(predict):
    algorithm = disturb(built(predict=predict))
    x, y = batch_for(algorithm, 12)
    algorithm.step(x, y)
    held = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    h, scores = x, []
    for number in (1, 2, 3):
        named = [held[f"{k}{number}"] for k in ("mean", "variance", "gain", "shift")]
        h = functional.batch_norm(h @ held[f"w{number}"].T, *named).relu()
        scores.append(functional.linear(h, held[f"v{number}"], held[f"c{number}"]))
    expected = sum(scores) if predict == "sum" else scores[-1]
    torch.testing.assert_close(algorithm.predict(x), expected)
    torch.testing.assert_close(algorithm.predict(x[:1]), expected[:1])
    for name, tensor in parameters(algorithm).items():
        assert torch.equal(tensor, held[name])


def test_it_begins_like_torchs():
    held = parameters(built())
    torchs = torch.nn.BatchNorm1d(16)
    for ours, theirs in (
        ("gain1", torchs.weight),
        ("shift1", torchs.bias),
        ("mean1", torchs.running_mean),
        ("variance1", torchs.running_var),
    ):
        assert torch.equal(held[ours], theirs)


def test_a_bias_before_it_would_do_nothing_and_is_not_there():
    """So it is the shift that is added: as many numbers are trained, plus the gain."""
    with_norm, without = (
        {n: t.shape for n, t in parameters(build_algorithm("local_head", NET, o)).items()}
        for o in ({"batch_norm": True, "momentum": 0.0}, {"momentum": 0.0})
    )
    assert "b1" not in with_norm
    assert with_norm["shift1"] == without["b1"] == with_norm["gain1"]


def test_the_same_weights_are_drawn_with_and_without_it():
    with_norm, without = (
        parameters(build_algorithm("local_head", NET, o)) for o in ({"batch_norm": True}, {})
    )
    for number in (1, 2, 3):
        for kind in "wvc":
            assert torch.equal(with_norm[f"{kind}{number}"], without[f"{kind}{number}"])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_greedy_stages_move_the_statistics_of_their_own_layer_only(index):
    algorithm = disturb(built(schedule="greedy"))
    algorithm.enter_stage(index)
    before = {name: tensor.clone() for name, tensor in parameters(algorithm).items()}
    x, y = batch_for(algorithm, 12)
    algorithm.step(x, y)
    moved = {n for n, t in parameters(algorithm).items() if "." not in n and not t.equal(before[n])}
    kinds = ("w", "gain", "shift", "mean", "variance", "v", "c")
    assert moved == {f"{kind}{index + 1}" for kind in kinds}
    h = x  # layers below normalise by their running statistics
    for number in range(1, index + 1):
        named = [before[f"{k}{number}"] for k in ("mean", "variance", "gain", "shift")]
        h = functional.batch_norm(h @ before[f"w{number}"].T, *named).relu()
    z = h @ before[f"w{index + 1}"].T
    expected = before[f"mean{index + 1}"].lerp(z.mean(0), 0.1)
    torch.testing.assert_close(parameters(algorithm)[f"mean{index + 1}"], expected)


def test_memory_by_hand():
    """One more tensor of the layer's output, an eighth of the gradient, and a few vectors."""
    rows, width, classes = 100, 1000, 10
    plain, normed = (
        predict(build_algorithm("local_head", "mlp-784-1000x3-10", options), rows)
        for options in ({}, {"batch_norm": True})
    )
    layer = rows * width
    assert plain.peak_bytes == 4 * (3 * layer + rows * classes + width)
    # input, output, n and its gradient; a tile of 13 rows; factors, dgain, a sum
    assert normed.peak_bytes == 4 * (4 * layer + rows * classes + 13 * width + 3 * width)
    # gain and its momentum, mean, variance
    assert normed.static_bytes - plain.static_bytes == 4 * 3 * 4 * width


def test_operations_by_hand():
    """One layer of 16 units, 12 samples, plain descent: what comes on top, element by element."""
    rows, units = 12, 16
    options = {"momentum": 0.0}
    plain, normed = (
        predict(build_algorithm("local_head", "mlp-24-16-4", o), rows).operations.total()
        for o in (options, options | {"batch_norm": True})
    )
    assert normed.macs == plain.macs
    more = normed.elementwise.copy()
    more.subtract(plain.elementwise)
    of = {kind: more[NumberFormat.FP32, kind] for kind in Kind}
    layer = rows * units
    # mean, differences twice, squares added up; du n added up; backwards two: the bias's is the
    # shift's. Per unit running averages and eps, one parameter more; sums of six tiles of two rows.
    assert of[Kind.ADD] == (4 + 1 + 2) * layer + (3 + 1 + 6) * units
    # squares, n; gain; du n; backwards two. Per unit averages, factors, one parameter more.
    assert of[Kind.MULTIPLY] == (2 + 1 + 1 + 2) * layer + (4 + 1 + 1) * units
    assert of[Kind.DIVIDE] == (4 + 2) * units
    assert of[Kind.COMPARE] == 0


def test_a_batch_of_one_is_refused():
    algorithm = built()
    for refused in (algorithm.check_batch, partial(predict, algorithm)):
        with pytest.raises(ConfigurationError, match="no variance; use a batch size of at least 2"):
            refused(1)
    with pytest.raises(ConfigurationError, match="no variance"):
        algorithm.step(*batch_for(algorithm, 1))
    algorithm.check_batch(2)
    build_algorithm("local_head", NET).check_batch(1)
