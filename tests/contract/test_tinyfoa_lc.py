"""TinyFoA on locally connected nets: gradients are autograd's, and what is special about it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.numerics.binary.packing import unpack
from trainfit.bench.trace.prediction import predict

NET = "lc-3x4x5-8-8-16-4"
SHAPE = (4, 5)
POSITIONS = 20


def held_by(algorithm):
    return {held.name: held.tensor.detach().clone() for held in algorithm.static_tensors()}


def dense(latent_NMPJSK):
    """Sliced weights as (P, outputs, inputs, 9)."""
    groups, columns, positions, outputs, segments, _ = latent_NMPJSK.shape
    if segments == 1:
        latent_NMPJSK = latent_NMPJSK.reshape(groups, columns, positions, outputs, 9, -1)
    return latent_NMPJSK.permute(2, 0, 3, 1, 5, 4).reshape(positions, groups * outputs, -1, 9)


def dense_released(w_POK):
    positions, outputs, _ = w_POK.shape
    return w_POK.reshape(positions, outputs, 9, -1).transpose(2, 3)


def by_channel(grouped_NPJ):
    """(P, outputs) from groups."""
    return grouped_NPJ.transpose(0, 1).flatten(1)


def dense_head(head_NCI):
    """Grouped head as (classes, P, outputs)."""
    groups, classes, _ = head_NCI.shape
    return head_NCI.view(groups, classes, POSITIONS, -1).permute(1, 2, 0, 3).flatten(2)


def product(h_BCHW, w_POCN):
    """The layer's product as its definition has it, shape (B, P, O)."""
    batch, channels = h_BCHW.shape[:2]
    laid_out = functional.unfold(h_BCHW, 3, padding=1).view(batch, channels, 9, -1)
    return torch.einsum("bcnp,pocn->bpo", laid_out, w_POCN)


def straight_through(t, value):
    """``value`` with the gradient of the identity on t, cut where abs(t) >= 1."""
    passed = torch.where(t.abs() < 1, t, t.detach())
    return passed + (value - passed).detach()


def layer(h_BCHW, w, b, gain, shift, *, released=False, running=(None, None)):
    """Binary output of a layer, shape (B, P, O)."""
    if released:
        binary = straight_through(w, w.sign() * w.abs().mean())
    else:  # sign(0) is +1; weights are within [-1, 1], where nothing is cut
        sign = torch.where(w >= 0, 1.0, -1.0)
        binary = w + (sign * w.abs().mean() - w).detach()
    z = product(h_BCHW, binary) + b
    training = running[0] is None
    u = functional.batch_norm(z.flatten(0, 1), *running, gain, shift, training=training)
    r = torch.relu(u.view_as(z))
    return torch.relu(straight_through(r, r.sign() * r.mean()))


def as_map(h_BPO):
    return h_BPO.transpose(1, 2).unflatten(2, SHAPE)


def caught(algorithm, monkeypatch):
    """Gradients that the rule hands to Adam, by name."""
    seen = {}
    adam = type(algorithm._rule._adam)

    def apply_rows(self, name, parameter, gradient, rows):
        seen.setdefault(name, []).append(gradient.clone())

    def apply(self, name, parameter, gradient):
        seen[name] = gradient.clone()

    monkeypatch.setattr(adam, "apply_rows", apply_rows)
    monkeypatch.setattr(adam, "apply", apply)
    return seen


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"update": "fused"}, {"kernel": "tiles"}, {"frozen_statistics": "batch"}],
)
def test_described_has_the_gradients_of_its_local_loss(options, depth, place, monkeypatch):
    algorithm = build_algorithm("tinyfoa", NET, options)
    for seed in range(3):  # running statistics that are not those of a fresh net
        for stage in range(3):
            algorithm.enter_stage(stage)
            algorithm.step(*batch_for(algorithm, 10, seed + 5))
    algorithm.enter_stage(depth)
    algorithm._rule.enter_slice(place)
    row, column = algorithm._rule._place
    x, y = batch_for(algorithm, 10)
    held = held_by(algorithm)
    seen = caught(algorithm, monkeypatch)
    algorithm.step(x, y)

    h = x.view(-1, 3, *SHAPE)
    for number in range(1, depth + 1):
        running = held[f"mean{number}"].flatten(), held[f"variance{number}"].flatten()
        h = as_map(
            layer(
                h,
                dense(held[f"latent{number}"]),
                by_channel(held[f"bias{number}"]),
                held[f"gain{number}"].flatten(),
                held[f"shift{number}"].flatten(),
                running=(None, None) if "frozen_statistics" in options else running,
            )
        )
    trained = {
        name: held[f"{name}{depth + 1}"].requires_grad_()
        for name in ("latent", "bias", "gain", "shift")
    }
    h = layer(
        h,
        dense(trained["latent"]),
        by_channel(trained["bias"]),
        trained["gain"].flatten(),
        trained["shift"].flatten(),
    )
    head = dense_head(held[f"head{depth + 1}"])
    logits = torch.einsum("bpo,cpo->bc", h, head) + held[f"head_bias{depth + 1}"]
    functional.cross_entropy(logits, y).backward()

    expected = trained["latent"].grad[row, column].flatten(2)
    torch.testing.assert_close(torch.cat(seen["w"]), expected, rtol=1e-4, atol=1e-6)
    for name, parameter in (("b", "bias"), ("gain", "gain"), ("shift", "shift")):
        expected = trained[parameter].grad[row]
        torch.testing.assert_close(seen[name], expected, rtol=1e-4, atol=1e-6)
        assert expected.abs().sum() > 0


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_released_follows_autograd_through_the_layer_as_it_is_defined(depth):
    """Product laid out in full, torch's modules, torch's Adam: the same weights after a step."""
    algorithm = build_algorithm("tinyfoa", NET, {"variant": "released", "lr": 0.01})
    algorithm.enter_stage(depth)
    algorithm.begin_epoch(3 * depth, 3)  # pass 1 of the layer: block 1 is put back
    x, y = batch_for(algorithm, 10)
    held = held_by(algorithm)
    algorithm.step(x, y)

    h = x.view(-1, 3, *SHAPE)
    for number in range(1, depth + 2):
        names = ("w", "b", "gain", "shift")
        its = {name: held[f"{name}{number}"].clone().requires_grad_() for name in names}
        w = dense_released(its["w"])
        h = as_map(layer(h, w, its["b"], its["gain"], its["shift"], released=True))
        if number <= depth:
            h = h.detach()
    of_positions = h.flatten(2).transpose(1, 2)  # the order of (P, outputs)
    logits = functional.linear(
        of_positions.flatten(1), held[f"head{depth + 1}"], held[f"head_bias{depth + 1}"]
    )
    functional.cross_entropy(logits, y).backward()
    torch.optim.Adam(its.values(), lr=0.01).step()
    after = held_by(algorithm)
    for name, parameter in its.items():
        expected = parameter.detach().clamp(-1, 1)
        got = after[f"{name}{depth + 1}"]
        if name == "w":
            block = slice(4, 8) if depth < 2 else slice(8, 16)
            inputs = slice(0, 3) if depth == 0 else slice(4, 8)
            before = held[f"w{depth + 1}"].clamp(-1, 1)
            dense_released(expected)[:, block, inputs] = dense_released(before)[:, block, inputs]
            assert (got != before).float().mean() > 0.1  # a third starts where it is clipped
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_running_statistics_are_those_of_torch():
    algorithm = build_algorithm("tinyfoa", NET)
    x, y = batch_for(algorithm, 10)
    held = held_by(algorithm)
    algorithm.step(x, y)
    after = held_by(algorithm)
    w = dense(held["latent1"])
    z = product(x.view(-1, 3, *SHAPE), torch.where(w >= 0, 1.0, -1.0) * w.abs().mean())
    norm = torch.nn.BatchNorm2d(8)
    norm(as_map(z + by_channel(held["bias1"])))
    torch.testing.assert_close(after["mean1"].flatten(), norm.running_mean)
    torch.testing.assert_close(after["variance1"].flatten(), norm.running_var)


@pytest.mark.parametrize(
    ("options", "moves"),
    [({}, False), ({"frozen_statistics": "batch"}, True), ({"variant": "released"}, True)],
)
def test_frozen_statistics_move_only_where_layers_normalise_by_the_batch(options, moves):
    algorithm = build_algorithm("tinyfoa", NET, options)
    algorithm.enter_stage(1)
    before = held_by(algorithm)
    algorithm.step(*batch_for(algorithm, 10))
    after = held_by(algorithm)
    for name in ("mean1", "variance1"):
        assert (not torch.equal(before[name], after[name])) == moves
    assert not torch.equal(before["mean2"], after["mean2"])


@pytest.mark.parametrize("variant", ["described", "released"])
def test_prediction_is_by_running_statistics(variant):
    """A sample's normalised values do not depend on the rest of the batch; its scale does."""
    algorithm = build_algorithm("tinyfoa", "lc-1x4x5-8-4", {"variant": variant, "slices": 1})
    x, y = batch_for(algorithm, 10)
    for _ in range(3):
        algorithm.step(x, y)
    bias = held_by(algorithm)["head_bias1"]
    whole, one = algorithm.predict(x)[:1] - bias, algorithm.predict(x[:1]) - bias
    torch.testing.assert_close(whole / whole.norm(), one / one.norm())


@pytest.mark.parametrize("options", [{"update": "fused"}, {"kernel": "tiles"}])
@pytest.mark.parametrize("features", ["recomputed", "cached"])
def test_described_gives_the_same_bits_however_it_is_computed(features, options):
    runs = []
    for chosen in ({}, options):
        algorithm = build_algorithm("tinyfoa", NET, {"lr": 0.02, "features": features, **chosen})
        algorithm.enter_stage(1)
        for seed in range(5):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs.append(held_by(algorithm))
    for name, tensor in runs[0].items():
        if tensor.dtype is torch.uint8 or "kernel" in options:
            assert torch.equal(tensor, runs[1][name]), name
        else:  # sums over other tiles
            torch.testing.assert_close(tensor, runs[1][name])


def test_described_moves_its_slice_only_and_keeps_its_bits_true():
    algorithm = build_algorithm("tinyfoa", NET, {"lr": 0.05})
    algorithm.enter_stage(1)
    algorithm._rule.enter_slice(1)  # output group 0, input group 1
    before = held_by(algorithm)
    for seed in range(3):
        algorithm.step(*batch_for(algorithm, 10, seed))
    algorithm._rule.enter_slice(2)  # puts the slice back
    after = held_by(algorithm)
    moved = after["latent2"] != before["latent2"]
    assert moved[0, 1].any()
    moved[0, 1] = False
    assert not moved.any()
    for name in ("bias2", "gain2", "shift2"):
        assert not torch.equal(after[name][0], before[name][0])
        assert torch.equal(after[name][1], before[name][1])
    for number in (1, 3):
        for name in ("latent", "packed", "bias", "gain", "shift", "mean", "variance", "scale"):
            assert torch.equal(before[f"{name}{number}"], after[f"{name}{number}"])
    for number in (1, 2, 3):
        latent = after[f"latent{number}"]
        bits = unpack(after[f"packed{number}"].flatten(0, 4), latent.shape[5])
        assert torch.equal(bits.view_as(latent), (latent >= 0).float())
        torch.testing.assert_close(after[f"scale{number}"], latent.abs().mean())
        assert latent.abs().max() <= 1


def test_slices_of_the_first_layer_are_of_output_channels_only():
    algorithm = build_algorithm("tinyfoa", NET)
    places = []
    for epoch in range(algorithm.passes(5)):
        algorithm.begin_epoch(epoch, 5)
        places.append(algorithm._rule._place)
    assert places[:5] == [(0, 0), (1, 0), (0, 0), (1, 0), (0, 0)]
    assert places[5:10] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]


def test_the_first_stage_holds_one_bit_per_weight_and_one_slice():
    algorithm = build_algorithm("tinyfoa", "lc-1x28x28-16-32-64-64-10")
    algorithm.enter_stage(3)
    held = {each.name: each for each in algorithm.static_tensors()}
    packed = sum(each.tensor.nbytes for name, each in held.items() if name.startswith("packed"))
    weights = 784 * 9 * (16 + 16 * 32 + 32 * 64 + 64 * 64)
    assert weights == 47_077_632
    assert packed == 784 * (2 * 16 + 9 * (16 * 32 + 32 * 64 + 64 * 64) // 8)  # 9 bits in 2 bytes
    assert held["slice"].tensor.numel() == 784 * 9 * 64 * 64 // 4
    assert all(held[f"latent{number}"].storage for number in (1, 2, 3, 4))
    assert sum(held[f"latent{number}"].tensor.numel() for number in (1, 2, 3, 4)) == weights


def test_described_is_near_the_device_view_and_a_fraction_of_released():
    peaks = {}
    for options in ({}, {"update": "fused"}, {"features": "cached"}, {"variant": "released"}):
        algorithm = build_algorithm("tinyfoa", "lc-1x13x13-16-32-64-64-5", options)
        for index, stage in enumerate(algorithm.stages):
            algorithm.enter_stage(index)
            plan = predict(algorithm, 100)
            if "variant" not in options:
                ratio = plan.peak_bytes / plan.device_bytes
                assert ratio <= 1.10, (options, stage)
        peaks[str(options)] = plan.peak_bytes
    whole, fused, _, released = peaks.values()
    assert 9 * whole <= released
    assert 30 * fused <= released


@pytest.mark.parametrize("variant", ["described", "released"])
def test_one_value_per_channel_is_refused(variant):
    algorithm = build_algorithm("tinyfoa", "lc-8x1x1-4-4-2", {"variant": variant})
    message = "batch size 1 with 1 position per map .* use a batch size of at least 2"
    x, y = batch_for(algorithm, 1)
    for refused in (
        lambda: algorithm.check_batch(1),
        lambda: predict(algorithm, 1),
        lambda: algorithm.step(x, y),
    ):
        with pytest.raises(ConfigurationError, match=message):
            refused()
    algorithm.check_batch(2)
    build_algorithm("tinyfoa", "lc-8x1x2-4-4-2").check_batch(1)
