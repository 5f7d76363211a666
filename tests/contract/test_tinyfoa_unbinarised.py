"""TinyFoA with float weights, float activations, or both."""

from __future__ import annotations

import pytest
import torch

from tests.contract.cases import batch_for, reachable_bits
from trainfit.algorithms import ConfigurationError, build_algorithm

NET = "mlp-24-16-32-8-4"
FORMS = [
    {"weights": "float"},
    {"activations": "float"},
    {"weights": "float", "activations": "float"},
]
IDS = [" and ".join(f"{key}={value}" for key, value in form.items()) for form in FORMS]


def held_by(algorithm):
    return {held.name: held for held in algorithm.static_tensors()}


def weights_of(algorithm, number):
    """A layer's weights between the turns of its slices, as a matrix."""
    held = held_by(algorithm)
    name = f"w{number}" if f"w{number}" in held else f"latent{number}"
    return torch.cat(list(held[name].tensor), dim=1).clone()


def test_binary_is_the_default():
    runs = []
    for options in ({}, {"weights": "binary", "activations": "binary"}):
        algorithm = build_algorithm("tinyfoa", NET, options)
        algorithm.enter_stage(1)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs.append(reachable_bits(algorithm))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_every_form_starts_from_the_same_weights_and_heads(form):
    binary, other = build_algorithm("tinyfoa", NET), build_algorithm("tinyfoa", NET, form)
    ours, theirs = held_by(binary), held_by(other)
    for number in (1, 2, 3):
        assert torch.equal(ours[f"latent{number}"].tensor, weights_of(other, number))
        assert torch.equal(ours[f"b{number}"].tensor, theirs[f"b{number}"].tensor)
        assert torch.equal(ours[f"head{number}"].tensor, theirs[f"head{number}"].tensor)


@pytest.mark.parametrize("form", FORMS, ids=IDS)
@pytest.mark.parametrize("turn", [0, 1, 2, 3, 6])
def test_one_slice_moves_and_the_biases_of_its_outputs(form, turn):
    algorithm = build_algorithm("tinyfoa", NET, {"lr": 0.05, **form})
    algorithm.enter_stage(1)
    algorithm._rule.enter_slice(turn)
    before = [weights_of(algorithm, number) for number in (1, 2, 3)]
    bias = held_by(algorithm)["b2"].tensor.clone()
    for seed in range(3):
        algorithm.step(*batch_for(algorithm, 10, seed))
    moved_bias = held_by(algorithm)["b2"].tensor != bias
    algorithm._rule.enter_slice(turn + 1)  # puts the slice back
    moved = [
        weights_of(algorithm, number) != w for number, w in zip((1, 2, 3), before, strict=True)
    ]
    row, column = divmod(turn % 4, 2)
    block = moved[1][16 * row : 16 * row + 16, 8 * column : 8 * column + 8]
    assert block.any()
    assert [int(each.sum()) for each in moved] == [0, int(block.sum()), 0]
    assert moved_bias[16 * row : 16 * row + 16].any()
    assert int(moved_bias.sum()) == int(moved_bias[16 * row : 16 * row + 16].sum())


@pytest.mark.parametrize("slices", [1, 2])
def test_signs_and_scale_are_those_of_the_latent_weights(slices):
    options = {"activations": "float", "slices": slices, "lr": 0.5}
    algorithm = build_algorithm("tinyfoa", NET, options)
    for stage in (0, 1, 0):
        algorithm.enter_stage(stage)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
    algorithm.enter_stage(2)
    held = held_by(algorithm)
    for number, width in ((1, 24), (2, 16)):
        latent = weights_of(algorithm, number)
        assert latent.abs().max() <= 1
        assert held[f"b{number}"].tensor.abs().max() <= 1
        assert held[f"scale{number}"].tensor == pytest.approx(float(latent.abs().mean()))
        bytes_per_row = -(-width // slices // 8)
        assert held[f"packed{number}"].tensor.shape == (slices, len(latent), bytes_per_row)
        read = algorithm._rule._layers[number - 1].weights
        z_IO = torch.zeros(width, len(latent))
        read.add_product(torch.eye(width), z_IO)
        assert torch.equal(z_IO.T, torch.where(latent >= 0, 1.0, -1.0))


def test_float_weights_are_not_clipped():
    algorithm = build_algorithm("tinyfoa", NET, {"weights": "float", "lr": 0.5})
    for seed in range(5):
        algorithm.step(*batch_for(algorithm, 10, seed))
    assert weights_of(algorithm, 1).abs().max() > 1


@pytest.mark.parametrize("slices", [1, 2])
def test_what_a_step_does_not_read_is_in_storage(slices):
    stored = {}
    for form in FORMS:
        algorithm = build_algorithm("tinyfoa", NET, {"slices": slices, **form})
        algorithm.enter_stage(1)
        held = held_by(algorithm).values()
        stored[form.get("weights", "binary")] = {each.name for each in held if each.storage}
    heads = {"head1", "head3"}
    assert stored["float"] == heads | {"w3", "b3"}
    latent = {"latent1", "latent2", "latent3"}
    assert stored["binary"] == heads | latent | {"packed3", "scale3", "b3", "slice3"}


@pytest.mark.parametrize("form", FORMS, ids=IDS)
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("mlp-24-16-4", {"variant": "released"}, "needs variant=described; the released code"),
        ("lc-1x3x4-4-4", {}, "needs a fully connected net such as mlp-12-128-4"),
        ("mlp-24-16-4", {"features": "cached"}, "needs features=recomputed; features=cached"),
    ],
)
def test_what_has_no_float_form_is_refused_by_name(model, options, message, form):
    chosen = " and ".join(f"{key}={value}" for key, value in form.items())
    with pytest.raises(ConfigurationError, match=f"tinyfoa: {chosen} {message}") as caught:
        build_algorithm("tinyfoa", model, form | options)
    assert "\n" not in str(caught.value)
