"""INT8 backpropagation, UI8, DAI8, QAT and PTQ against their formulas, written out naively."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for, reachable_bits
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.int8.dai8_clipping import is_gaussian
from trainfit.algorithms.int8.ui8_clipping import direction_deviation
from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.algorithms.numerics.int8.quantise import quantise
from trainfit.algorithms.numerics.losses import cross_entropy_error_
from trainfit.algorithms.options import Rounding
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-40-32-8-4"


def held(algorithm):
    return {h.name: h.tensor.detach().clone() for h in algorithm.static_tensors()}


def q_of(t, dim=None):
    """Integers and scale by the definition, one scale or one per column; rounded to the nearest."""
    most = t.abs().amax() if dim is None else t.abs().amax(dim)
    scale = most / 127
    return (t * (1 / scale.clamp(min=2.0**-126))).round().clamp(-127, 127).to(torch.int64), scale


def product(a, b, *scales):
    """Integers multiplied as 64-bit integers, then scaled in float32."""
    factor = scales[0] * scales[1]
    return (a @ b).to(torch.float32) * factor


def naive_step(start, x, y, *, layers):
    """All integers and gradients of one plain INT8 backward pass, from parameters by name."""
    kept, h = [], x
    for n in range(1, layers + 1):
        kept.append(q_of(h))
        (qh, sh), qw, sw = kept[-1], start[f"q{n}"].long(), start[f"s{n}"]
        z = product(qh, qw.T, sh, sw) + start[f"b{n}"]
        h = z.relu()
    dz = cross_entropy_error_(z, y)
    found = {}
    for n in range(layers, 0, -1):
        (qh, sh), (qd, sd) = kept[n - 1], q_of(dz)
        qw, sw = start[f"q{n}"].long(), start[f"s{n}"]
        found[n] = {"q": qd, "dw": product(qd.T, qh, sd, sh), "db": dz.sum(0), "h": qh, "s": sh}
        if n > 1:
            dz = product(qd, qw, sd, sw) * (qh > 0)
    return found


def spied(algorithm, x, y):
    """The rounded gradients of one step, by layer."""
    seen = {}

    def spy(number, quantiser):
        own = quantiser.quantise

        def quantise(dz_BO, seed, *, to_input):
            d = own(dz_BO, seed, to_input=to_input)
            seen[number] = (dz_BO.clone(), d)
            return d

        quantiser.quantise = quantise

    for number, quantiser in enumerate(algorithm._quantisers, start=1):
        spy(number, quantiser)
    algorithm.step(x, y)
    for quantiser in algorithm._quantisers:
        del quantiser.quantise
    return seen


# ---- backprop_int8 --------------------------------------------------------------------------


def test_plain_int8_is_the_chain_rule_on_integers_to_the_bit():
    algorithm = build_algorithm("backprop_int8", NET, {"lr": 0.5})
    x, y = batch_for(algorithm, 13)
    start = held(algorithm)
    seen = spied(algorithm, x, y)
    end = held(algorithm)
    naive = naive_step(start, x, y, layers=4)
    for n, expected in naive.items():
        assert torch.equal(seen[n][1].for_weights.q.long(), expected["q"]), n
        assert seen[n][1].for_weights.q.dtype is torch.int8
        w = expected["dw"] * -0.5 + start[f"q{n}"] * start[f"s{n}"]
        q, scale = q_of(w)
        assert (end[f"q{n}"].long() - q).abs().max() <= 1  # w's two products may round apart
        assert (end[f"q{n}"].long() == q).float().mean() > 0.99
        torch.testing.assert_close(end[f"s{n}"][0], scale)
        torch.testing.assert_close(end[f"b{n}"], start[f"b{n}"] - 0.5 * expected["db"])
        assert not torch.equal(end[f"q{n}"], start[f"q{n}"])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_float_masters_follow_torchs_optimiser_on_the_integer_gradient(momentum):
    options = {"master": "fp32", "lr": 0.2, "momentum": momentum}
    algorithm = build_algorithm("backprop_int8", NET, options)
    its = {n: t.requires_grad_() for n, t in held(algorithm).items() if n[0] in "wb"}
    its = {n: t for n, t in its.items() if "momentum" not in n}
    optimiser = torch.optim.SGD(its.values(), lr=0.2, momentum=momentum)
    for seed in range(4):
        x, y = batch_for(algorithm, 13, seed)
        start = held(algorithm)
        for n, expected in naive_step(start, x, y, layers=4).items():
            its[f"w{n}"].grad, its[f"b{n}"].grad = expected["dw"], expected["db"]
        optimiser.step()
        algorithm.step(x, y)
        end = held(algorithm)
        for name, tensor in its.items():
            torch.testing.assert_close(end[name], tensor.detach(), rtol=1e-5, atol=1e-6)
        for n in range(1, 5):
            q, scale = q_of(end[f"w{n}"])
            assert torch.equal(end[f"q{n}"].long(), q)
            torch.testing.assert_close(end[f"s{n}"][0], scale)


def true_gradients(start, x, y, *, layers):
    """Autograd's, in float32, of the net that the integers stand for."""
    parameters = []
    h = x
    for n in range(1, layers + 1):
        w = (start[f"q{n}"] * start[f"s{n}"]).requires_grad_()
        parameters.append(w)
        z = functional.linear(h, w, start[f"b{n}"])
        h = z.relu()
    return torch.autograd.grad(functional.cross_entropy(z, y), parameters)


def cosines(model, layers, seed):
    algorithm = build_algorithm("backprop_int8", model, seed=seed)
    x, y = batch_for(algorithm, 32, seed)
    start = held(algorithm)
    true = true_gradients(start, x, y, layers=layers)
    own = naive_step(start, x, y, layers=layers)
    return [cosine(true[n - 1], own[n]["dw"]) for n in range(1, layers + 1)]


def test_one_layer_has_the_true_gradient_and_rounding_adds_up_with_depth():
    one = [cosines("mlp-64-10", 1, seed)[0] for seed in range(5)]
    assert min(one) > 0.9999
    deep = torch.tensor([cosines("mlp-64-" + "64-" * 8 + "10", 9, seed) for seed in range(5)])
    mean = deep.mean(0)
    assert mean[0] < mean[4] < mean[8]  # the lowest layer has gone through all
    assert mean[0] < 0.999


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("backprop_int8", {}),
        ("backprop_int8", {"master": "fp32", "momentum": 0.9}),
        ("backprop_int8", {"master": "fp32", "optimizer": "adam", "lr": 0.002}),
        ("backprop_ui8", {"rounding": "nearest"}),
        ("backprop_dai8", {}),
    ],
)
def test_how_it_is_computed_makes_no_difference(name, options):
    runs = []
    for more in ({}, {"weight_gradient": "whole"}, {"kernel": "torch"}):
        algorithm = build_algorithm(name, "mlp-60-90-50-4", options | more)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs.append(reachable_bits(algorithm))
    assert runs[0] == runs[1] == runs[2]


def test_changes_below_half_a_step_of_the_grid_are_lost_unless_rounding_is_stochastic():
    moved = {}
    for rounding in Rounding:
        options = {"lr": 1e-3, "rounding": rounding}
        algorithm = build_algorithm("backprop_int8", NET, options)
        x, y = batch_for(algorithm, 13)
        start = held(algorithm)
        for _ in range(20):
            algorithm.step(x, y)
        end = held(algorithm)
        moved[rounding] = sum(int((start[f"q{n}"] != end[f"q{n}"]).sum()) for n in (1, 2, 3, 4))
    assert moved[Rounding.NEAREST] == 0
    assert moved[Rounding.STOCHASTIC] > 20


def test_nothing_is_float_but_sums_biases_and_tiles():
    """784-500-500-10 in INT8: no float weights, and one float activation or gradient at a time."""
    rows = 32
    algorithm = build_algorithm("backprop_int8", "mlp-784-500-500-10")
    for h in algorithm.static_tensors():
        assert h.tensor.dtype is torch.int8 or h.tensor.numel() <= 500, h.name
    x, y = batch_for(algorithm, rows)
    profile = profile_step(lambda: algorithm.step(x, y), warmup=1, repeats=2)
    assert profile.peak_dynamic_bytes == predict(algorithm, rows).peak_bytes
    sizes = [block.size for block in profile.live_at_peak]
    assert max(sizes) <= 65536  # a tile; the smallest hidden matrix in float32 has a million
    assert sum(size >= 4 * rows * 500 and size != 65536 for size in sizes) <= 1
    kept = profile.phases["forward"].categories["activations"]
    # input and two layers in INT8; the sums of one layer, 500 wide, are INT32
    assert kept == rows * (784 + 500 + 500) + 4 * rows * 500
    whole = build_algorithm("backprop_int8", "mlp-784-500-500-10", {"weight_gradient": "whole"})
    fused = build_algorithm("backprop", "mlp-784-500-500-10", {"update": "fused"})
    need = [predict(a, rows).peak_bytes for a in (algorithm, whole, fused)]
    assert need[0] * 10 < need[1] < need[2]


def test_products_are_counted_as_int8_and_twice_where_they_are_made_twice():
    macs = {}
    for options in ({}, {"weight_gradient": "whole"}, {"master": "fp32"}):
        algorithm = build_algorithm("backprop_int8", "mlp-784-500-500-10", options)
        total = predict(algorithm, 10).operations.total().macs
        assert set(total) == {NumberFormat.INT8}
        macs[str(options)] = total[NumberFormat.INT8]
    forward = 10 * (784 * 500 + 500 * 500 + 500 * 10)
    once = 3 * forward - 10 * 784 * 500
    assert macs["{'weight_gradient': 'whole'}"] == macs["{'master': 'fp32'}"] == once
    assert macs["{}"] == once + forward


# ---- UI8 ------------------------------------------------------------------------------------


def cosine(a, b):
    return float(functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def test_deviation_is_one_minus_the_cosine():
    g = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    g[0, 0] = 300.0
    q, scale = quantise(g, rounding=Rounding.NEAREST)
    assert direction_deviation(g, q) == pytest.approx(1 - cosine(g, q * scale), abs=1e-6)
    assert direction_deviation(torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.int8)) == 0.0


@pytest.mark.parametrize("period", [1, 2, 5])
def test_ui8_takes_the_range_with_the_least_deviation(period):
    options = {"rounding": "nearest", "candidates": 10, "period": period}
    quantiser = build_algorithm("backprop_ui8", NET, options)._quantisers[0]
    g = torch.randn(1000, 400, generator=torch.Generator().manual_seed(1))
    g[0, :2] = 10.0  # worth clipping, so that all others are rounded finer
    for _ in range(period):  # after which every candidate has been tried on this gradient
        d = quantiser.quantise(g, 0, to_input=True)
    tried = {}
    for nth in range(1, 11):
        clip = float(g.abs().max()) * nth / 10
        q, _ = quantise(g, rounding=Rounding.NEAREST, clip=clip)
        tried[clip] = 1 - cosine(g, q)
    best = min(tried, key=tried.get)
    assert best < float(g.abs().max())  # else this tests nothing
    assert float(d.for_inputs.scale) * 127 == pytest.approx(best, rel=1e-5)
    assert d.rate == pytest.approx(max(math.exp(-20 * tried[best]), 0.1), rel=1e-4)
    assert d.for_weights is d.for_inputs


def test_ui8_slows_a_layer_down_by_its_deviation():
    moved = {}
    for alpha, beta in ((0.0, 0.0), (20.0, 0.1), (1e9, 0.25)):
        options = {"alpha": alpha, "beta": beta, "momentum": 0.0, "rounding": "nearest"}
        algorithm = build_algorithm("backprop_ui8", NET, options)
        start = held(algorithm)
        seen = spied(algorithm, *batch_for(algorithm, 13))
        end = held(algorithm)
        moved[alpha] = {n: end[n] - start[n] for n in start if n[0] in "wb"}
        rates = [d.rate for _, d in seen.values()]
        assert all(beta <= rate <= 1 for rate in rates)
        for n in (1, 2, 3, 4):
            for kind in "wb":
                expected = moved[0.0][f"{kind}{n}"] * seen[n][1].rate
                torch.testing.assert_close(moved[alpha][f"{kind}{n}"], expected)
    assert set(rates) == {0.25}
    assert algorithm._optimiser.lr == 0.05  # as it was


# ---- DAI8 -----------------------------------------------------------------------------------


def test_channels_are_told_apart_by_what_is_beyond_sigma():
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(500, 60, generator=generator)
    spiked = torch.zeros(500, 60)
    spiked[::50] = torch.randn(10, 60, generator=generator)
    g = torch.cat([normal, spiked], dim=1)
    gaussian = is_gaussian(g, 0.3)
    sigma = (g.double() ** 2).mean(0).sqrt()
    assert torch.equal(gaussian, (g.abs() > sigma).double().mean(0) > 0.3)
    assert gaussian[:60].float().mean() > 0.5
    assert not gaussian[60:].any()


def test_dai8_ranges_follow_their_recursion():
    options = {"k": 0.9, "a": 0.6, "share": 0.3}
    quantiser = build_algorithm("backprop_dai8", NET, options)._quantisers[0]
    range_O = None
    kinds = set()
    for step in range(4):
        g = torch.randn(30, 40, generator=torch.Generator().manual_seed(step))
        g[:, 20:] *= (torch.arange(30) < 3)[:, None]
        most = g.abs().amax(0)
        range_O = most if range_O is None else range_O
        gaussian = is_gaussian(g, 0.3)
        kinds |= set(gaussian.tolist())
        range_O = torch.where(gaussian, most, (1 - 0.9 * 0.6) * range_O + 0.6 * most)
        d = quantiser.quantise(g, 0, to_input=True)
        torch.testing.assert_close(d.for_weights.scale * 127, range_O)
        q = (g / (range_O / 127)).round().clamp(-127, 127)
        assert (d.for_weights.q - q).abs().max() <= 1
        assert (d.for_weights.q == q).float().mean() > 0.99
    assert kinds == {True, False}


def test_dai8_serves_weights_by_channel_and_inputs_by_tensor():
    algorithm = build_algorithm("backprop_dai8", NET, {"momentum": 0.0, "lr": 0.1})
    x, y = batch_for(algorithm, 13)
    start = held(algorithm)
    seen = spied(algorithm, x, y)
    end = held(algorithm)
    naive = naive_step(start, x, y, layers=4)  # for activations, which rounding does not touch
    for n, (dz, d) in seen.items():
        h, scale_h = naive[n]["h"], naive[n]["s"]
        assert d.for_weights.scale.shape == (dz.shape[1],)
        dw = product(d.for_weights.q.long().T, h, d.for_weights.scale[:, None], scale_h)
        torch.testing.assert_close(end[f"w{n}"], start[f"w{n}"] - 0.1 * dw)
        if n > 1:
            q, scale = q_of(dz)
            assert torch.equal(d.for_inputs.q.long(), q)
            passed = product(q, start[f"q{n}"].long(), scale, start[f"s{n}"]) * (h > 0)
            torch.testing.assert_close(seen[n - 1][0], passed)


# ---- QAT and PTQ ----------------------------------------------------------------------------


class Rounded(torch.autograd.Function):
    """Rounding whose gradient is the identity's."""

    @staticmethod
    def forward(ctx, t):
        q, scale = q_of(t)
        return q * scale

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Rectified(torch.autograd.Function):
    """A rectifier that is open where its rounded output is not 0."""

    @staticmethod
    def forward(ctx, z):
        h = z.relu()
        ctx.save_for_backward(q_of(h)[0] > 0)
        return h

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_qat_has_the_straight_through_gradient(optimizer):
    options = {"lr": 0.1 if optimizer == "sgd" else 1e-3, "optimizer": optimizer}
    algorithm = build_algorithm("qat_int8", NET, options)
    its = {n: t.requires_grad_() for n, t in held(algorithm).items() if n in WEIGHTS}
    make = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    more = {"momentum": 0.9} if optimizer == "sgd" else {}
    their = make(its.values(), lr=options["lr"], **more)
    x, y = batch_for(algorithm, 13)
    h = x
    for n in range(1, 5):
        z = functional.linear(Rounded.apply(h), Rounded.apply(its[f"w{n}"]), its[f"b{n}"])
        h = Rectified.apply(z)
    torch.testing.assert_close(algorithm.predict(x), z.detach(), rtol=1e-4, atol=1e-5)
    functional.cross_entropy(z, y).backward()
    their.step()
    algorithm.step(x, y)
    end = held(algorithm)
    for name, tensor in its.items():
        torch.testing.assert_close(end[name], tensor.detach(), rtol=1e-4, atol=2e-6)
    for n in range(1, 5):
        assert torch.equal(end[f"q{n}"].long(), q_of(end[f"w{n}"])[0])


WEIGHTS = [f"{kind}{n}" for n in range(1, 5) for kind in "wb"]


def test_qat_keeps_integers_and_has_float_products_in_the_gradient_only():
    algorithm = build_algorithm("qat_int8", NET)
    plan = predict(algorithm, 13)
    macs = {name: phase.macs for name, phase in plan.operations.phases.items()}
    assert set(macs["forward"]) == {NumberFormat.INT8}
    assert set(macs["gradient"]) == set(macs["update"]) == {NumberFormat.FP32}
    integers = [each for each in plan.trace.storages if "int8" in each.label and not each.found]
    assert len([each for each in integers if each.category == "activations"]) >= 4  # x, h1 to h3


@pytest.mark.parametrize("update", ["separate", "fused", "product"])
def test_ptq_trains_as_backprop_does_and_rounds_on_demand(update):
    options = {"lr": 0.1, "update": update}
    ptq, backprop = (build_algorithm(n, NET, options) for n in ("ptq_int8", "backprop"))
    for seed in range(3):
        for algorithm in (ptq, backprop):
            algorithm.step(*batch_for(algorithm, 13, seed))
    assert reachable_bits(ptq) == reachable_bits(backprop)
    assert predict(ptq, 13).peak_bytes == predict(backprop, 13).peak_bytes
    x, _ = batch_for(ptq, 13, 9)
    parameters, h = held(ptq), x.clone()
    for n in range(1, 5):
        (qh, sh), (qw, sw) = q_of(h.relu() if n > 1 else h), q_of(parameters[f"w{n}"])
        h = product(qh, qw.T, sh, sw) + parameters[f"b{n}"]
    scores = ptq.predict(x)
    torch.testing.assert_close(scores, h, rtol=1e-5, atol=1e-6)
    exact = backprop.predict(x)
    assert not torch.equal(scores, exact)
    torch.testing.assert_close(scores, exact, rtol=0.0, atol=0.05 * float(exact.abs().max()))


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("backprop_int8", {"momentum": 0.9}, "master=fp32"),
        ("backprop_int8", {"optimizer": "adam"}, "master=fp32"),
        ("backprop_ui8", {"candidates": 10, "period": 3}, "does not divide"),
        ("backprop_dai8", {"k": 2.0, "a": 0.8}, "at most 1"),
        ("ptq_int8", {"weights": "binary"}, "rounds float nets"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_would(name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm(name, NET, options)
