"""FF-INT8: the gradients autograd has on the same net, integers all the way, kernels alike."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for, reachable_bits
from trainfit.algorithms import build_algorithm
from trainfit.algorithms.errors import ConfigurationError
from trainfit.algorithms.ff_int8.weights import Int8Weights, LatentWeights
from trainfit.algorithms.numerics.int8.layer import QuantConfig, RowQuantized
from trainfit.algorithms.numerics.int8.quantise import draw_seed, quantise
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.prediction import predict

NET = "mlp-40-48-56-32-4"
ROWS = 24
EXACT = {"rounding": "nearest", "master": "fp32"}
NEAREST = QuantConfig(Rounding.NEAREST, Int8Kernel.COMPILED)


def spied_gradients(monkeypatch, algorithm, x, y):
    """The gradient of every layer's weights in one step, by number from 1, as float64."""
    found = {}
    kind = type(algorithm._layers[0].weights)
    descend = kind.descend
    numbers = {id(layer.weights): n for n, layer in enumerate(algorithm._layers, start=1)}

    def spy(self, d_BO, h_BI, scale, *others):
        found[numbers[id(self)]] = scale * (d_BO.double().T @ h_BI.double())
        assert d_BO.dtype is h_BI.dtype is torch.int8
        return descend(self, d_BO, h_BI, scale, *others)

    monkeypatch.setattr(kind, "descend", spy)
    algorithm.step(x, y)
    monkeypatch.undo()
    return found


def float_net(algorithm, x, y):
    """Inputs with labels, weights and biases of the same net, nothing rounded but the weights."""
    seeds = iter(range(100))
    h = algorithm._both_passes(x, y, seeds)
    weights = []
    for layer in algorithm._layers:
        q, scale = layer.weights.integers(NEAREST)
        weights.append((q.double() * scale.double()[:, None]).requires_grad_())
    biases = [layer._b_O.double().requires_grad_() for layer in algorithm._layers]
    return h.q.double() * h.scale.double()[:, None], weights, biases


def unit(y_RO):
    return y_RO * (y_RO.shape[1] ** 0.5) / y_RO.norm(dim=1, keepdim=True).clamp(min=1e-12)


def close(found, right, tolerance):
    assert right.norm() > 0
    error = (found - right).norm() / right.norm()
    assert error < tolerance, error


def losses(goodness, theta, batch):
    excess = goodness - theta
    return torch.cat([functional.softplus(-excess[:batch]), functional.softplus(excess[batch:])])


def prepared(options):
    """An algorithm about to take a step, its batch, and the same net in float64."""
    algorithm = build_algorithm("ff_int8", NET, options)
    for layer in algorithm._layers:
        layer._b_O.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
    x, y = batch_for(algorithm, ROWS)
    state = algorithm.generator.get_state()
    draw_seed(algorithm.generator)  # as a step does before it draws wrong labels
    net = float_net(algorithm, x, y)
    algorithm.generator.set_state(state)
    return algorithm, (x, y), net


@pytest.mark.parametrize("goodness", ["sum", "mean"])
@pytest.mark.parametrize("master", ["fp32", "int8"])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_gradients_are_those_of_the_local_losses(monkeypatch, rounding, master, goodness):
    """w follows dL/dw of L_pos + L_neg, up to rounding to eight bits."""
    theta = 20.0 if goodness == "sum" else 0.5
    algorithm, batch, (h, weights, biases) = prepared(
        {"rounding": rounding, "master": master, "goodness": goodness, "threshold": theta}
    )
    found = spied_gradients(monkeypatch, algorithm, *batch)
    for number, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        y = torch.relu(functional.linear(h, w, b))
        good = y.square().sum(1) if goodness == "sum" else y.square().mean(1)
        (losses(good, theta, ROWS).sum() / ROWS).backward()
        close(found[number], w.grad, 0.05 if rounding == "nearest" else 0.08)
        moved = b.detach() - algorithm._layers[number - 1]._b_O
        close(moved * w.shape[1] / algorithm.options.lr, b.grad, 0.05)
        h = unit(y.detach())


@pytest.mark.parametrize("master", ["fp32", "int8"])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_true_lookahead_is_the_gradient_through_the_later_layers(monkeypatch, rounding, master):
    """L_l + lambda (L_l+1 + ... + L_n), differentiated by autograd, with lambda = 0.5."""
    algorithm, batch, (h, weights, biases) = prepared(
        {"rounding": rounding, "master": master, "lookahead": "true", "lookahead_step": 0.5}
    )
    algorithm.begin_epoch(1, 10)
    found = spied_gradients(monkeypatch, algorithm, *batch)
    sizes = algorithm.model.hidden
    each = []
    for w, b, width in zip(weights, biases, sizes, strict=True):
        y = torch.relu(functional.linear(h, w, b))
        each.append(losses(y.square().sum(1), width, ROWS).sum() / ROWS)
        h = unit(y)
    for index, w in enumerate(weights):
        own, later = each[index], 0.5 * sum(each[index + 1 :])
        alone = torch.autograd.grad(own, w, retain_graph=True)[0]
        joined = torch.autograd.grad(own + later, w, retain_graph=True)[0]
        tolerance = 0.04 if rounding == "nearest" else 0.08
        close(found[index + 1], joined, tolerance)
        if index + 1 < len(weights):  # the look-ahead must matter for this to say anything
            assert (joined - alone).norm() > 3 * tolerance * joined.norm()


def test_detached_lookahead_takes_the_factor_at_the_joined_excess(monkeypatch):
    algorithm, batch, (h, weights, biases) = prepared(
        EXACT
        | {"lookahead": "detached", "lookahead_step": 0.5, "goodness": "mean", "threshold": 0.5}
    )
    algorithm.begin_epoch(1, 10)
    found = spied_gradients(monkeypatch, algorithm, *batch)
    goodness = []
    for w, b in zip(weights, biases, strict=True):
        y = torch.relu(functional.linear(h, w, b))
        goodness.append(y.square().mean(1))
        h = unit(y.detach())
    for index, w in enumerate(weights):
        later = 0.5 * sum(good.detach() - 0.5 for good in goodness[index + 1 :])
        joined = losses(goodness[index] + later, 0.5, ROWS).sum() / ROWS
        alone = losses(goodness[index], 0.5, ROWS).sum() / ROWS
        alone = torch.autograd.grad(alone, w, retain_graph=True)[0]
        right = torch.autograd.grad(joined, w, retain_graph=True)[0]
        close(found[index + 1], right, 0.05)
        if index + 1 < len(weights):
            assert (right - alone).norm() > 0.06 * right.norm()


def test_without_weight_detached_lookahead_is_the_local_rule():
    """What the paper's loop comes to when activations are cut and the sum is taken literally."""
    weights = []
    for lookahead in ("off", "detached"):
        algorithm = build_algorithm("ff_int8", NET, EXACT | {"lookahead": lookahead})
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, ROWS, seed))
        weights.append(reachable_bits(algorithm))
    assert weights[0] == weights[1]


def test_without_weight_true_lookahead_is_the_local_rule():
    weights = []
    for lookahead in ("off", "true"):
        algorithm = build_algorithm("ff_int8", NET, EXACT | {"lookahead": lookahead})
        algorithm.step(*batch_for(algorithm, ROWS))
        weights.append({h.name: h.tensor for h in algorithm.static_tensors()})
    start = build_algorithm("ff_int8", NET, EXACT)
    for held in start.static_tensors():
        moved = weights[0][held.name] - held.tensor
        assert moved.norm() > 0
        # Gradients are rounded once more; what is 127 stays 127.
        assert (weights[1][held.name] - weights[0][held.name]).norm() < 1e-3 * moved.norm()


def test_lambda_grows_from_0_by_a_step_per_pass():
    algorithm = build_algorithm("ff_int8", NET, {"lookahead": "true"})
    seen = []
    for epoch in range(3):
        algorithm.begin_epoch(epoch, 3)
        seen.append(algorithm._weight)
    assert seen == [0.0, 0.001, 0.002]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rounding": "nearest", "goodness": "mean"},
        {"master": "fp32", "momentum": 0.9},
        {"lookahead": "true", "lookahead_step": 0.3},
        {"lookahead": "true", "master": "fp32", "lookahead_step": 0.3},
        {"lookahead": "detached", "lookahead_step": 0.3},
    ],
)
@pytest.mark.parametrize(("net", "rows"), [(NET, ROWS), ("mlp-5-3-2", 1), ("mlp-200-130-6-5", 9)])
def test_both_kernels_give_the_same_bits(net, rows, options):
    runs = []
    for kernel in ("compiled", "torch"):
        algorithm = build_algorithm("ff_int8", net, {**options, "kernel": kernel})
        algorithm.begin_epoch(1, 4)
        for seed in range(4):
            algorithm.step(*batch_for(algorithm, rows, seed))
        x = batch_for(algorithm, rows)[0]
        runs.append((reachable_bits(algorithm), algorithm.predict(x).numpy().tobytes()))
    assert runs[0] == runs[1]


# ---- INT8 and nothing else ------------------------------------------------------------------


@pytest.mark.parametrize("lookahead", ["off", "detached", "true"])
def test_no_matrix_exists_but_in_int8(lookahead):
    """No tensor that the step makes is larger than the input of both passes in one byte each."""
    algorithm = build_algorithm("ff_int8", "mlp-784-300-300-10", {"lookahead": lookahead})
    batch = 64
    x, y = batch_for(algorithm, batch)
    for each in predict(algorithm, batch).trace.storages:
        if not each.found and "int8" not in each.label:  # a group of 8 rows at most, of 128
            assert each.size <= 4 * 8 * 784, each.label
    profile = profile_step(lambda: algorithm.step(x, y), warmup=1, repeats=1)
    levels = [point.dynamic_bytes for point in profile.timeline]
    largest = max(after - before for before, after in pairwise(levels))
    assert largest == 2 * batch * 784
    assert 4 * 2 * batch * 300 > largest  # any float32 activation or gradient would be
    weights = [h for h in algorithm.static_tensors() if h.tensor.dim() > 1]
    assert len(weights) == 2
    assert all(h.tensor.dtype is torch.int8 for h in weights)


def test_it_needs_a_tenth_of_backprop_on_the_papers_net():
    """Static and dynamic bytes; the paper has 38.7 % less on average, on its board."""
    needs = {}
    for name in ("ff_int8", "backprop"):
        plan = predict(build_algorithm(name, "mlp-784-1000-1000-10"), 32)
        needs[name] = plan.static_bytes + plan.peak_bytes
    assert needs["ff_int8"] * 10 < needs["backprop"]
    latent = build_algorithm("ff_int8", "mlp-784-1000-1000-10", {"master": "fp32"})
    plan = predict(latent, 32)
    assert plan.static_bytes + plan.peak_bytes < (1 - 0.387) * needs["backprop"]


def test_lookahead_costs_activations_and_true_one_a_product_more():
    macs, dynamic = {}, {}
    for lookahead in ("off", "detached", "true"):
        algorithm = build_algorithm("ff_int8", "mlp-64-100x4-10", {"lookahead": lookahead})
        plan = predict(algorithm, 32)
        macs[lookahead] = plan.operations.total().macs.total()
        dynamic[lookahead] = plan.peak_bytes
    assert macs["off"] == macs["detached"] == 2 * 64 * (6400 + 3 * 10000)
    assert macs["true"] == macs["off"] + 64 * 3 * 10000
    kept = 64 * 100
    assert dynamic["off"] + 2 * kept < dynamic["detached"]
    assert dynamic["detached"] + kept < dynamic["true"]


# ---- weights --------------------------------------------------------------------------------


def integers(rows, columns, most, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-most, most + 1, (rows, columns), dtype=torch.int8, generator=generator)


@pytest.mark.parametrize("kernel", list(Int8Kernel))
def test_updates_of_int8_weights_are_right_on_average(kernel):
    way = QuantConfig(Rounding.STOCHASTIC, kernel)
    start = torch.randn(30, 40, generator=torch.Generator().manual_seed(0))
    d, h = integers(16, 30, 127, 1), integers(16, 40, 127, 2)
    gradient = d.double().T @ h.double()
    lr = 0.01
    scale = 0.3 / gradient.abs().max().item()  # a few tenths of a step of the scale at most
    moved, runs = torch.zeros(30, 40, dtype=torch.float64), 400
    for seed in range(runs):
        weights = Int8Weights(start)
        before = [t.clone().double() for t in weights.integers(way)]
        weights.descend(d, h, scale, lr, way, seed)
        q, s = (t.double() for t in weights.integers(way))
        moved += (q * s[:, None] - before[0] * before[1][:, None]) / runs
    right = -lr * scale * gradient
    deviation = (moved - right) / before[1][:, None]  # in steps, or halves of one
    assert deviation.abs().max() < 5 / runs**0.5
    assert abs(deviation.mean()) < 5 / (runs * 1200) ** 0.5
    assert right.abs().max() > 0


@pytest.mark.parametrize("kernel", list(Int8Kernel))
def test_the_scale_of_a_row_follows_its_weights(kernel):
    way = QuantConfig(Rounding.STOCHASTIC, kernel)
    weights = Int8Weights(torch.ones(5, 40))
    scale = weights.integers(way).scale.clone()
    d = torch.zeros(16, 5, dtype=torch.int8)
    h = torch.ones(16, 40, dtype=torch.int8)
    # Rows: kept, two and a half times as large, a third as large, to 0, beyond what can double.
    d[:, 1], d[:, 2], d[:, 3], d[:, 4] = 15, -7, -10, 127
    weights.descend(d, h, -1.0 / 160, 1.0, way, 7)
    q, moved = weights.integers(way)
    assert (moved / scale).tolist() == [1.0, 4.0, 0.5, 1.0, 16.0]
    values = q.float() * moved[:, None]
    for row, value in enumerate((1.0, 2.5, 0.3)):
        assert ((values[row] - value).abs() <= moved[row]).all()
    assert q[3].abs().max() <= 1
    weights = Int8Weights(torch.ones(1, 40))
    weights.descend(d[:, 4:].contiguous(), h, -10.0, 1.0, way, 7)
    assert (weights.integers(way).q == 127).all()  # clipped after four doublings
    assert weights.integers(way).scale[0] == 16 * scale[0]


def test_latent_weights_follow_momentum_and_keep_no_integers():
    start = torch.randn(30, 40, generator=torch.Generator().manual_seed(0))
    way = QuantConfig(Rounding.STOCHASTIC, Int8Kernel.COMPILED)
    weights, right = LatentWeights(start.clone(), 0.9), start.clone().requires_grad_()
    optimiser = torch.optim.SGD([right], lr=0.1, momentum=0.9)
    for seed in range(4):
        d, h = integers(16, 30, 127, seed), integers(16, 40, 127, seed + 9)
        weights.descend(d, h, 1e-4, 0.1, way, seed)
        right.grad = 1e-4 * (d.float().T @ h.float())
        optimiser.step()
    held = {suffix: tensor for suffix, tensor, _ in weights.held()}
    torch.testing.assert_close(held[""], right.detach())
    assert set(held) == {"", ".momentum"}
    expected = quantise(held[""], rounding=Rounding.NEAREST, axis=0)
    assert all(torch.equal(a, b) for a, b in zip(weights.integers(way), expected, strict=True))
    assert torch.equal(weights.scales(), expected[1])


def test_momentum_of_int8_weights_is_refused_with_what_would_do():
    with pytest.raises(ConfigurationError, match="master=fp32"):
        build_algorithm("ff_int8", NET, {"momentum": 0.9})


# ---- input and prediction -------------------------------------------------------------------


def test_both_passes_show_the_same_pixels_and_differ_in_the_label():
    algorithm = build_algorithm("ff_int8", NET, {"label_scale": 0.5})
    x, y = batch_for(algorithm, ROWS)
    x[0] = 0.0  # nothing but the label
    rows = algorithm._both_passes(x, y, iter(range(3)))
    positive, negative = rows.q[:ROWS], rows.q[ROWS:]
    assert torch.equal(positive[:, 4:], negative[:, 4:])
    assert torch.equal(positive[:, :4].argmax(1), y)
    assert (negative[:, :4].argmax(1) != y).all()
    assert ((rows.q[:, :4] != 0).sum(1) == 1).all()
    real = rows.q.float() * rows.scale[:, None]
    torch.testing.assert_close(real.square().mean(1), torch.ones(2 * ROWS))
    highest = x.amax(1).clamp(min=0.5)
    step = highest / 127
    label = positive[:, :4].amax(1).float() * step
    assert ((label - 0.5).abs() <= 0.5001 * step).all()
    assert ((positive[:, 4:] * step[:, None] - x[:, 4:]).abs() <= step[:, None]).all()
    assert positive[0].amax() == 127
    assert (rows.q.float().abs() <= 127).all()


def test_prediction_is_goodness_per_label_without_chance():
    algorithm = build_algorithm("ff_int8", NET, {})
    x, _ = batch_for(algorithm, ROWS)
    state = algorithm.generator.get_state()
    scores = algorithm.predict(x)
    assert torch.equal(algorithm.generator.get_state(), state)
    assert torch.equal(scores, algorithm.predict(x))
    for label in range(4):
        h = x.clone().double()
        h[:, :4] = 0.0
        h[:, label] = 1.0
        h = unit(h)
        total = torch.zeros(ROWS, dtype=torch.float64)
        for layer in algorithm._layers:
            q, scale = (t.double() for t in layer.weights.integers(NEAREST))
            y = torch.relu(h @ (q * scale[:, None]).T)
            total += y.square().sum(1)
            h = unit(y)
        torch.testing.assert_close(scores[:, label].double(), total, rtol=0.02, atol=0.0)


def test_a_silent_layer_stays_finite():
    for lookahead in ("off", "detached", "true"):
        algorithm = build_algorithm("ff_int8", NET, {"lookahead": lookahead, "lookahead_step": 1})
        algorithm.begin_epoch(1, 2)
        algorithm._layers[1]._b_O.fill_(-1e6)
        algorithm.step(*batch_for(algorithm, ROWS))
        assert all(torch.isfinite(h.tensor.float()).all() for h in algorithm.static_tensors())
        assert torch.isfinite(algorithm.predict(batch_for(algorithm, ROWS)[0])).all()


def test_rows_are_what_their_name_says():
    t = torch.randn(7, 20, generator=torch.Generator().manual_seed(0))
    rows = RowQuantized(*quantise(t, rounding=Rounding.NEAREST, axis=0))
    torch.testing.assert_close(rows.q * rows.scale[:, None], t, rtol=0, atol=0.02)
