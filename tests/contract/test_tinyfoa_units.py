"""TinyFoA on nets of units: the gradient of one slice, its turns, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders import unit_net
from tests.builders.binary_units import Binary, as_products_see_it
from tests.builders.unit_net import through
from tests.contract.cases import samples_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.blocks.block import NOTHING, Turn
from trainfit.algorithms.blocks.sliced import layer
from trainfit.algorithms.models.layers import Nonlinearity
from trainfit.algorithms.nets.head_pool import window_for
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.prediction import predict

NET = "cnn-3x8x8-c6-d8-r8-p-i9s2-f10-4"
"""Channels that two slices divide and do not, depthwise, residual, a pool, a dense layer."""

FORMS = [
    {},
    {"weights": "float"},
    {"activations": "float"},
    {"weights": "float", "activations": "float"},
]
IDS = ["binary", "activations", "weights", "float"]


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def gradients_of(algorithm, x, y):
    """What a step gives to its optimiser."""
    taken = {}
    algorithm._adam.apply = lambda name, parameter, gradient: taken.update({name: gradient.clone()})
    algorithm.step(x, y)
    return taken


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_a_slice_follows_the_gradient_of_its_units_loss(form, turn, monkeypatch):
    if "activations" not in form:
        for function in Nonlinearity:
            monkeypatch.setitem(unit_net._FUNCTIONS, function, Binary.apply)
    monkeypatch.setattr(layer, "_LEAST", 0)  # so that parts of this small net are few of many
    algorithm = build_algorithm("tinyfoa", NET, {"head_features": 40, **form})
    x, y = samples_for(algorithm, 18)
    for stage, unit in enumerate(algorithm.model.units[:-1]):
        algorithm.enter_stage(stage)
        algorithm._turn(turn)
        own = as_products_see_it(algorithm)

        ours = gradients_of(algorithm, x, y)

        h = x.double().view(-1, *algorithm.model.shape)
        for below in algorithm.model.units[:stage]:
            h = through(below, h, own, training=False)
        h = through(unit, h.detach(), own, training=True)
        maps = h if h.dim() == 4 else h[:, :, None, None]
        window = window_for(tuple(maps.shape[1:]), 40)
        seen = functional.avg_pool2d(maps, window).flatten(1)
        functional.cross_entropy(seen @ own[f"{unit.name}.head"].T, y).backward()

        of_unit = {
            name for name in own if name.startswith(f"{unit.name}.") and own[name].requires_grad
        }
        assert set(ours) == of_unit
        for name, gradient in ours.items():
            expected = own[name].grad[Turn(turn, 2).rows(len(own[name]))]
            apart, size = (float(each.norm()) for each in (gradient - expected, expected))
            assert gradient.shape == expected.shape
            assert apart < 1e-3 * size + 1e-5, name
        assert any(float(gradient.abs().max()) > 1e-3 for gradient in ours.values())


GATED = "cnn-1x6x6-c4-e4-e5s2-3"


def test_gates_are_trained_whole():
    options = {"weights": "float", "activations": "float"}
    algorithm = build_algorithm("tinyfoa", GATED, options)
    x, y = samples_for(algorithm, 8)
    algorithm.enter_stage(1)
    own = as_products_see_it(algorithm)
    ours = gradients_of(algorithm, x, y)
    first, second, *_ = algorithm.model.units
    h = through(first, x.double().view(-1, 1, 6, 6), own, training=False).detach()
    h = through(second, h, own, training=True)
    functional.cross_entropy(h.flatten(1) @ own["unit2.head"].T, y).backward()
    for name, gradient in ours.items():
        expected = own[name].grad
        if ".se1." not in name:
            expected = expected[Turn(0, 2).rows(len(expected))]
        assert gradient.shape == expected.shape
        assert torch.allclose(gradient.double(), expected, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_one_slice_moves_and_is_written_back(form):
    algorithm = build_algorithm("tinyfoa", NET, {"lr": 0.05, **form})
    algorithm.enter_stage(1)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    algorithm._turn(1)
    for seed in range(2):
        algorithm.step(*samples_for(algorithm, 10, seed))
    algorithm._turn(0)
    after = held(algorithm)
    kinds = (".latent", ".weight", ".bias", ".gain", ".shift")
    moved = {
        name: after[name] != before[name]
        for name in before
        if name.endswith(kinds) and bool((after[name] != before[name]).any())
    }
    assert {name.split(".")[0] for name in moved} == {"unit2"}
    assert len(moved) == 6
    for name, changed in moved.items():
        rows = Turn(1, 2).rows(len(changed))
        assert not changed[: rows.start].any(), name
        assert rows.stop == len(changed)


@pytest.mark.parametrize("update", ["whole", "fused"])
def test_signs_and_scale_are_those_of_the_latent_weights(update):
    algorithm = build_algorithm("tinyfoa", NET, {"lr": 0.5, "slices": 3, "update": update})
    algorithm.enter_stage(2)
    for turn in (0, 2, 1):
        algorithm._turn(turn)
        algorithm.step(*samples_for(algorithm, 10))
    algorithm.enter_stage(0)
    tensors = held(algorithm)
    for chain in algorithm._chains:
        for block in chain.blocks:
            weight = getattr(block, "_weight", None)
            if weight is not None:
                assert weight._whole.abs().max() <= 1
    latent = tensors["unit3.conv2.latent"]
    assert tensors["unit3.conv2.scale"] == pytest.approx(float(latent.abs().mean()))
    body = algorithm._chains[2].blocks[0].body.blocks
    seen = body[3]._weight.read(slice(0, 8))
    assert torch.equal(seen > 0, latent >= 0)
    assert torch.allclose(seen.abs(), tensors["unit3.conv2.scale"])


def test_rows_at_a_time_are_the_whole_update():
    runs = []
    for update in ("whole", "fused"):
        options = {"update": update, "weights": "float", "activations": "float", "lr": 0.01}
        algorithm = build_algorithm("tinyfoa", NET, options)
        algorithm.enter_stage(2)
        algorithm.step(*samples_for(algorithm, 10))
        runs.append(held(algorithm))
    for name, tensor in runs[0].items():
        assert torch.allclose(runs[1][name], tensor, rtol=1e-3, atol=1e-5), name


def test_what_a_step_does_not_touch_is_in_storage():
    algorithm = build_algorithm("tinyfoa", NET, {})
    algorithm.enter_stage(1)
    stored = {each.name for each in algorithm.static_tensors() if each.storage}
    in_ram = {each.name for each in algorithm.static_tensors() if not each.storage}
    assert {"unit1.conv1.latent", "unit2.conv1.latent", "unit3.conv1.packed"} <= stored
    assert {"unit1.head", "unit3.head", "unit3.bn1.mean"} <= stored
    assert {"unit1.conv1.packed", "unit1.bn1.mean", "unit2.head", "unit2.conv2.slice"} <= in_ram
    assert not any(name.startswith("unit1") and name.endswith("slice") for name in stored | in_ram)


def test_more_slices_mean_fewer_bytes_of_state_and_gradient():
    """A unit of one layer: all of its way back, and all of Adam's state, is the slice's."""
    states, peaks = [], []
    for slices in (1, 4):
        algorithm = build_algorithm("tinyfoa", "cnn-3x8x8-c16-c16-4", {"slices": slices})
        algorithm.enter_stage(1)
        states.append(sum(state.nbytes for _, state in algorithm._adam.states()))
        peaks.append(predict(algorithm, 16).phases["gradient"].peak_bytes)
    assert states[0] == 4 * states[1]
    assert peaks[1] < 0.75 * peaks[0]


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (NET, {"variant": "released"}, "which has no convolutional nets such as"),
        (NET, {"features": "cached"}, "take features=recomputed"),
        ("lenet5-1x28x28-10", {"frozen_statistics": "batch"}, "needs a net with batch normalis"),
        (NET, {"slices": 7}, "slices=7 is more than the 6 output channels of unit1.conv1"),
        (NET, {"loss": "cross_entropy"}, "tinyfoa has no option 'loss'"),
        ("mlp-16-8-4", {"head_features": 8}, "option 'head_features' of tinyfoa is for"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(model, options, words):
    with pytest.raises(ConfigurationError, match=words):
        build_algorithm("tinyfoa", model, options)


def test_groups_have_all_channels_once():
    for channels in (2, 7, 12):
        rows = [Turn(group, 2).rows(channels) for group in range(2)]
        assert [r.stop - r.start for r in rows] == [-(-channels // 2), channels // 2]
        assert (rows[0].start, rows[1].start, rows[1].stop) == (0, rows[0].stop, channels)
    assert NOTHING.stop == NOTHING.start


@pytest.mark.parametrize("stage", [1, 3])
def test_the_trace_of_a_real_net_is_what_the_allocator_does(stage):
    """Weights of resnet8 are unpacked some rows at a time, as those of small nets are not."""
    algorithm = build_algorithm("tinyfoa", "resnet8-3x32x32-10", {})
    algorithm.enter_stage(stage)
    x, y = samples_for(algorithm, 2)
    predicted = predict(algorithm, 2)
    measured = profile_step(lambda: algorithm.step(x, y))
    assert predicted.peak_bytes == measured.peak_dynamic_bytes
    assert {name: each.peak_bytes for name, each in predicted.phases.items()} == {
        name: each.peak_bytes for name, each in measured.phases.items()
    }
