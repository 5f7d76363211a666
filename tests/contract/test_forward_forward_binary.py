"""Forward-Forward with binary weights and activations: its gradients, its bits, what it learns."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.numerics.binary.activations import Bits, unpack_tile
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-21-12-4"
LR = 0.1
BOTH = {"weights": "binary", "activations": "binary"}
COMBINATIONS = [{"weights": "binary"}, {"activations": "binary"}, BOTH]


class Sign(torch.autograd.Function):
    """mean(abs(t)) times the sign of t, with the gradient of the identity cut at 1."""

    @staticmethod
    def forward(ctx, t, zero):
        ctx.save_for_backward(t)
        return torch.where(t == 0, zero, t.sign()) * t.abs().mean()

    @staticmethod
    def backward(ctx, gradient):
        (t,) = ctx.saved_tensors
        return gradient * (t.abs() < 1), None


def build(net=NET, **options):
    return build_algorithm("forward_forward", net, {"momentum": 0.0, "lr": LR, **options})


def held(algorithm):
    return {item.name: item.tensor for item in algorithm.static_tensors()}


def copied(algorithm):
    return {name: tensor.clone() for name, tensor in held(algorithm).items()}


def stretch(algorithm, factor):
    """Larger latent weights, so that some are cut, and biases, so that units differ."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in held(algorithm).items():
        if name.startswith("w") and "." not in name:
            tensor.mul_(factor)
        elif name.startswith("b") and "." not in name:
            tensor.normal_(0, 0.2, generator=generator)


def normalised(h):
    """Rows with a mean square of 1; silent rows stay silent."""
    length = h.norm(dim=1, keepdim=True)
    return h * (h.shape[1] ** 0.5 / torch.where(length == 0, 1.0, length))


def with_labels(x, y, classes=4):
    x = x.double().clone()
    x[:, :classes] = 0
    x[torch.arange(len(x)), y] = 1.0
    return normalised(x)


def inner_of(h, w, b, options):
    return functional.linear(h, Sign.apply(w, 1.0) if options.weights == "binary" else w, b)


def output_of(h, w, b, options):
    return activation_of(inner_of(h, w, b, options), options)


def activation_of(z, options):
    return torch.relu(Sign.apply(z, 0.0) if options.activations == "binary" else z)


def expected_step(algorithm, before, h, loss, *, positive=True):
    """Parameters after plain descent in double precision, on ``loss(output)`` of every layer and,
    if the first ten rows are positive, on the peers' term."""
    options, after = algorithm.options, {}
    for number in range(1, len(algorithm.model.hidden) + 1):
        w = before[f"w{number}"][0].double().requires_grad_()
        b = before[f"b{number}"].double().requires_grad_()
        z = inner_of(h, w, b, options)
        out = activation_of(z, options)
        (loss(out) + (peer_term(algorithm, out, z) if positive else 0.0)).backward()
        moved = [w - LR * w.grad, b - LR * b.grad]
        if options.weights == "binary":
            moved = [each.clamp(-1, 1) for each in moved]
        after[f"w{number}"], after[f"b{number}"] = (each.detach() for each in moved)
        h = normalised(out.detach())
    return after


def assert_follows(algorithm, before, expected):
    after = held(algorithm)
    for name, tensor in expected.items():
        mine = after[name].double().view_as(tensor)
        torch.testing.assert_close(mine, tensor, rtol=1e-4, atol=1e-5)
        if name.startswith("w"):
            assert not torch.equal(after[name], before[name])


def peer_term(algorithm, out, z, batch=10):
    """A pull on the mean activity of every unit, whether or not it is active."""
    running = 0.9 * 0.5 + 0.1 * out[:batch].detach().mean(0)
    pull = 2 * algorithm.options.peer / batch * (running - running.mean())
    return (z[:batch] * pull).sum()


@pytest.mark.parametrize("goodness", ["sum", "mean"])
@pytest.mark.parametrize("peer", [0.0, 3.0])
@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_the_joint_pass_is_autograds_with_a_straight_through_rule(chosen, peer, goodness):
    algorithm = build(passes="joint", peer=peer, goodness=goodness, **chosen)
    stretch(algorithm, 3.0)
    x, y = batch_for(algorithm, 10)
    wrong = (y + 1) % 4
    before = copied(algorithm)
    with torch.no_grad():
        algorithm._joint_pass(x, y, wrong)

    def loss(out):
        squares = out.square()
        good = squares.sum(1) if goodness == "sum" else squares.mean(1)
        theta = float(out.shape[1]) if goodness == "sum" else 1.0
        total = functional.softplus(theta - good[:10]) + functional.softplus(good[10:] - theta)
        return total.mean()

    pair = torch.cat((with_labels(x, y), with_labels(x, wrong)))
    assert_follows(algorithm, before, expected_step(algorithm, before, pair, loss))
    cut = any((before[name].abs() >= 1).any() for name in ("w1", "w2", "w3"))
    assert cut


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_a_pass_of_its_own_is_autograds_with_a_straight_through_rule(chosen, positive):
    algorithm = build(peer=3.0, threshold=7.0, **chosen)
    stretch(algorithm, 3.0)
    x, y = batch_for(algorithm, 10)
    before, found = copied(algorithm), x.clone()
    with torch.no_grad():
        algorithm._pass(x, y, positive=positive)
    assert torch.equal(x, found)

    def loss(out):
        over = out.square().sum(1) - 7.0
        return functional.softplus(-over if positive else over).mean()

    inputs = with_labels(x, y)
    expected = expected_step(algorithm, before, inputs, loss, positive=positive)
    assert_follows(algorithm, before, expected)


@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_the_classifier_follows_its_own_cross_entropy_on_binary_activities(chosen):
    algorithm = build(score="head", head_lr=LR, **chosen)
    stretch(algorithm, 3.0)
    x, y = batch_for(algorithm, 10)
    with torch.no_grad():
        for tensor in algorithm._head.static_tensors():
            tensor.tensor.normal_(generator=torch.Generator().manual_seed(1))
        before = copied(algorithm)
        algorithm._neutral_pass(x, y)
    after = held(algorithm)
    h = x.double().clone()
    h[:, :4] = 0.25
    h, logits, heads = normalised(h), 0.0, {}
    for number in (1, 2, 3):
        w, b = before[f"w{number}"][0].double(), before[f"b{number}"].double()
        h = normalised(output_of(h, w, b, algorithm.options))
        if number > 1:
            heads[number] = before[f"classifier{number}"].double().requires_grad_()
            logits = logits + h @ heads[number].T
    functional.cross_entropy(logits, y).backward()
    for number, head in heads.items():
        expected = (head - LR * head.grad).detach()
        torch.testing.assert_close(after[f"classifier{number}"].double(), expected)
    assert all(torch.equal(after[f"w{n}"], before[f"w{n}"]) for n in (1, 2, 3))


@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_prediction_is_the_goodness_of_all_layers(chosen):
    algorithm = build(**chosen)
    stretch(algorithm, 3.0)
    x, _ = batch_for(algorithm, 10)
    parameters, scores = held(algorithm), torch.zeros(10, 4, dtype=torch.float64)
    for label in range(4):
        h = with_labels(x, torch.full((10,), label))
        for number in (1, 2, 3):
            w, b = parameters[f"w{number}"][0].double(), parameters[f"b{number}"].double()
            out = output_of(h, w, b, algorithm.options)
            scores[:, label] += out.square().sum(1)
            h = normalised(out)
    torch.testing.assert_close(algorithm.predict(x).double(), scores, rtol=1e-4, atol=1e-4)


def test_only_bits_and_a_factor_per_row_pass_from_layer_to_layer():
    algorithm = build(net="mlp-64-128-96-10", **BOTH)
    x, _ = batch_for(algorithm, 33)
    for number, h in algorithm._net.activities(x).items():
        assert isinstance(h, Bits)
        width = algorithm.model.sizes[number]
        assert h.bits_MBb.nbytes * 8 == 33 * width
        assert h.scale.shape == (33, 1)
        assert h.inside_Bb.numel() == 0
        squares = (unpack_tile(h, 0, slice(0, width)) * h.scale).square()
        torch.testing.assert_close(squares.mean(1), torch.ones(33))


@pytest.mark.parametrize("passes", ["joint", "sequential"])
def test_a_float_matrix_of_activations_lives_in_one_layer_only(passes):
    """Whatever outlives the phase ``forward`` of its layer is bits, or a number per row."""
    algorithm = build(net="mlp-64-128-96-10", passes=passes, **BOTH)
    rows = 66 if passes == "joint" else 33
    predicted = predict(algorithm, 33)
    large = {rows * 128 * 4, rows * 96 * 4}
    dense = [each for each in predicted.trace.storages if each.size in large and not each.found]
    assert len(dense) == (2 if passes == "joint" else 4)
    assert {each.category for each in dense} == {"activations"}
    for name, phase in predicted.phases.items():
        if not name.startswith("forward"):
            assert not any(each.size in large for each in phase.live_at_peak), name


def test_less_room_is_needed_with_bits_where_the_net_is_wide():
    peaks = [
        predict(build_algorithm("forward_forward", "mlp-784-2000x4-10", options), 100)
        for options in ({"passes": "joint"}, {"passes": "joint", **BOTH})
    ]
    assert peaks[1].peak_bytes < 0.85 * peaks[0].peak_bytes
    assert peaks[1].peak_bytes < 1.2 * peaks[1].device_bytes


@pytest.mark.parametrize("chosen", COMBINATIONS)
@pytest.mark.parametrize("options", [{}, {"passes": "joint", "peer": 0.03, "negatives": "hard"}])
def test_silent_rows_and_silent_layers_do_no_harm(chosen, options):
    algorithm = build(**chosen, **options)
    tensors = held(algorithm)
    tensors["b1"].fill_(-0.99)
    x, y = batch_for(algorithm, 10)
    tensors["w1"].mul_(0.3)
    for silence in (False, True):
        if silence:  # of all rows in all layers
            for number in (1, 2, 3):
                tensors[f"w{number}"].mul_(1e-3)
                tensors[f"b{number}"].fill_(-0.5)
        algorithm.step(x, y)
        assert all(torch.isfinite(tensor).all() for tensor in held(algorithm).values())
        assert torch.isfinite(algorithm.predict(x)).all()


def test_a_row_without_any_bit_stays_zero_and_is_not_divided_by():
    algorithm = build(**BOTH)
    held(algorithm)["b1"].fill_(-100.0)
    x, _ = batch_for(algorithm, 10)
    layer = algorithm._binary.layers[0]
    output = algorithm._binary._output(layer, x, None)
    assert torch.equal(output.squares(), torch.zeros(10))
    h = output.normalised()
    assert not h.bits_MBb.any()
    assert torch.isfinite(h.scale).all()


def test_parameters_are_clipped_with_binary_weights_only():
    for chosen in COMBINATIONS:
        algorithm = build(**{**chosen, "lr": 20.0})
        for seed in range(5):
            algorithm.step(*batch_for(algorithm, 10, seed))
        largest = max(float(t.abs().max()) for n, t in held(algorithm).items() if n[0] in "wb")
        assert largest <= 1 if "weights" in chosen else largest > 1


def test_a_kept_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    """The layers and the rule share tensors and a generator, which must stay shared."""
    from trainfit.bench.training import kept as training

    options = {**BOTH, "negatives": "hard", "peer": 0.03}
    first, second = build(momentum=0.9, **options), build(momentum=0.9, **options)
    first.step(*batch_for(first, 10))
    keys = [k for k in vars(first) if k not in training._FIXED]
    torch.save({k: vars(first)[k] for k in keys}, tmp_path / "kept.pt")
    with torch.serialization.safe_globals(training._classes(second)):
        vars(second).update(torch.load(tmp_path / "kept.pt", weights_only=True))
    for algorithm in (first, second):
        algorithm.begin_epoch(1, 2)
        algorithm.step(*batch_for(algorithm, 10, seed=1))
    for name, tensor in held(first).items():
        assert torch.equal(tensor, held(second)[name]), name


@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_the_autograd_form_is_float_only(chosen):
    with pytest.raises(ConfigurationError, match="implementation=autograd knows nothing of"):
        build(implementation="autograd", **chosen)
