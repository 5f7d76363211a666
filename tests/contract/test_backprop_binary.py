"""Backpropagation through binary weights and activations, whole and a slice at a time."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import ConfigurationError, build_algorithm
from trainfit.algorithms.numerics.binary.packing import unpack
from trainfit.algorithms.numerics.optimisers import Sgd
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"
COMBINATIONS = [
    {"weights": "binary"},
    {"activations": "binary"},
    {"weights": "binary", "activations": "binary"},
]
SLICINGS = [{}, {"slices": 2}, {"slices": 4}, {"slices": 2, "slice_rule": "released"}]
BOTH = COMBINATIONS[2]


class Binarise(torch.autograd.Function):
    """mean(abs(t)) sign(t), sign(0) = +1, with the gradient of the identity cut at 1."""

    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(t)
        return torch.where(t >= 0, t.abs().mean(), -t.abs().mean())

    @staticmethod
    def backward(ctx, gradient):
        (t,) = ctx.saved_tensors
        return gradient * (t.abs() < 1)


def held(algorithm):
    return {item.name: item.tensor for item in algorithm.static_tensors()}


def matrix(algorithm, number):
    """Latent weights of a layer as one matrix of shape (O, I)."""
    tensors = held(algorithm)
    w_MOK = tensors[f"latent{number}" if f"latent{number}" in tensors else f"w{number}"]
    return w_MOK.transpose(0, 1).flatten(1).clone()


def block_of(tensor_OI, slices, row, column):
    """Rows and columns of a slice of the grid."""
    height, width = (extent // slices for extent in tensor_OI.shape)
    rows = slice(row * height, (row + 1) * height)
    return rows, slice(column * width, (column + 1) * width)


def stretch(algorithm, factor):
    """Larger latent weights, so that some are cut; as if they had been drawn so."""
    for layer in algorithm._binary._hidden:
        for tensor in (layer._latent_MOK, layer.weight_JK):
            tensor.mul_(factor)
            if layer.weight_JK.data_ptr() == layer._latent_MOK.data_ptr():
                break  # one tensor under two names
        if layer._in_storage:
            layer.weights.scale().mul_(factor)


def reference(algorithm, x, y):
    """Gradients of (w, b) per layer by autograd in double precision."""
    options = algorithm.options
    layers = len(algorithm.model.layers)
    parameters = [
        (
            matrix(algorithm, number).double().requires_grad_(),
            held(algorithm)[f"b{number}"].double().requires_grad_(),
        )
        for number in range(1, layers + 1)
    ]
    h = x.double()
    for w, b in parameters[:-1]:
        z = functional.linear(h, Binarise.apply(w) if options.weights == "binary" else w, b)
        h = torch.relu(Binarise.apply(z) if options.activations == "binary" else z)
    functional.cross_entropy(functional.linear(h, *parameters[-1]), y).backward()
    return [(w.grad, b.grad) for w, b in parameters]


@pytest.mark.parametrize("update", ["separate", "fused"])
@pytest.mark.parametrize(
    ("chosen", "slicing"),
    [pair for pair in itertools.product([{}, *COMBINATIONS], SLICINGS) if any(pair)],
)
def test_gradients_are_autograds_with_the_same_straight_through_rule(
    chosen, slicing, update, monkeypatch
):
    seen = {}

    def apply(self, name, parameter, gradient):
        seen[name] = (parameter.shape, gradient.clone())

    monkeypatch.setattr(Sgd, "apply", apply)
    slices = slicing.get("slices", 1)
    sliced = slices > 1 and "slice_rule" not in slicing
    places = list(itertools.product(range(slices), repeat=2)) if sliced else [(0, 0)]
    some_cut = False
    for turn, (row, column) in enumerate(places):
        seen.clear()
        algorithm = build_algorithm("backprop", NET, {**chosen, **slicing, "update": update})
        if chosen.get("weights"):
            stretch(algorithm, 6.0)
        algorithm.begin_epoch(turn, len(places))
        x, y = batch_for(algorithm, 10)
        expected = reference(algorithm, x, y)
        algorithm.step(x, y)
        assert set(seen) == {f"{kind}{number}" for number in (1, 2, 3, 4) for kind in "wb"}
        for number, (dw, db) in enumerate(expected, start=1):
            if sliced and number < 4:
                rows, columns = block_of(dw, slices, row, column)
            else:
                rows = columns = slice(None)
            for name, gradient in ((f"w{number}", dw[rows, columns]), (f"b{number}", db[rows])):
                shape, mine = seen[name]
                assert shape == mine.shape
                torch.testing.assert_close(mine.double(), gradient, rtol=1e-4, atol=1e-6)
            some_cut |= bool((matrix(algorithm, number).abs() >= 1).any())
        assert all(w.abs().sum() > 0 for w, _ in expected)
    assert some_cut == bool(chosen.get("weights"))


@pytest.mark.parametrize("chosen", [*COMBINATIONS, {"slices": 2}, {**BOTH, "slices": 2}])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_fused_update_takes_the_same_step(chosen, optimizer):
    runs = []
    for update in ("separate", "fused"):
        options = {**chosen, "optimizer": optimizer, "lr": 0.01, "update": update}
        algorithm = build_algorithm("backprop", NET, options)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs.append(held(algorithm))
    for name, tensor in runs[0].items():
        assert torch.equal(tensor, runs[1][name]), name


@pytest.mark.parametrize("chosen", [{}, *COMBINATIONS])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_described_slices_move_alone_and_start_with_fresh_moments(chosen, optimizer):
    options = {**chosen, "slices": 2, "optimizer": optimizer, "lr": 0.01}
    algorithm = build_algorithm("backprop", NET, options)
    for turn, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]):
        algorithm.begin_epoch(turn, 5)
        states = {n: t for n, t in held(algorithm).items() if n.endswith((".momentum", ".mean"))}
        hidden = [t for n, t in states.items() if n[1] != "4"]
        assert len(hidden) == 6
        assert all(not state.any() for state in hidden)
        assert {tuple(t.shape) for n, t in states.items() if n.startswith("w3")} == {(4, 16)}
        if turn:
            assert all(state.any() for n, state in states.items() if n[1] == "4")
        before = [matrix(algorithm, number) for number in range(1, 5)]
        biases = [held(algorithm)[f"b{number}"].clone() for number in range(1, 5)]
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        algorithm._binary.enter_pass(
            turn, algorithm.options.lr
        )  # puts the slice back where it belongs
        for number in range(1, 5):
            moved = matrix(algorithm, number) != before[number - 1]
            bias_moved = held(algorithm)[f"b{number}"] != biases[number - 1]
            if number == 4:
                assert moved.any()
                assert bias_moved.any()
                continue
            rows, columns = block_of(moved, 2, row, column)
            assert moved[rows, columns].any()
            assert bias_moved[rows].any()
            moved[rows, columns] = False
            bias_moved[rows] = False
            assert not moved.any()
            assert not bias_moved.any()


def test_packed_signs_and_scales_stay_true():
    algorithm = build_algorithm("backprop", NET, {**BOTH, "slices": 2, "lr": 1.0})
    first = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    for turn in range(6):
        algorithm.begin_epoch(turn, 6)
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
    algorithm._binary.enter_pass(6, algorithm.options.lr)
    tensors = held(algorithm)
    for number in (1, 2, 3):
        latent_MOK, packed = tensors[f"latent{number}"], tensors[f"packed{number}"]
        assert not torch.equal(packed, first[f"packed{number}"])
        for group in range(2):
            bits = unpack(packed[group], latent_MOK.shape[2])
            assert torch.equal(bits, (latent_MOK[group] >= 0).float())
        torch.testing.assert_close(tensors[f"scale{number}"], latent_MOK.abs().mean())


def test_released_slices_put_one_diagonal_block_back_and_let_its_moments_move():
    options = {**BOTH, "slices": 2, "slice_rule": "released", "optimizer": "adam", "lr": 0.01}
    algorithm = build_algorithm("backprop", NET, options)
    for turn, block in ((0, 1), (1, 0), (2, 1)):
        algorithm.begin_epoch(turn, 3)
        before = [matrix(algorithm, number) for number in range(1, 5)]
        state = held(algorithm)["w2.mean"].clone()
        for seed in range(5):
            algorithm.step(*batch_for(algorithm, 10, seed))
        for number in range(1, 5):
            moved = matrix(algorithm, number) != before[number - 1]
            for row, column in itertools.product(range(2), repeat=2):
                frozen = row == column == block and number < 4
                assert bool(moved[block_of(moved, 2, row, column)].any()) != frozen
        changed = held(algorithm)["w2.mean"] != state
        assert changed[block_of(changed, 2, block, block)].any()


@pytest.mark.parametrize("slicing", SLICINGS)
@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_parameters_are_clipped_with_binary_weights_only(chosen, slicing):
    algorithm = build_algorithm("backprop", NET, {**chosen, **slicing, "lr": 20.0})
    for seed in range(5):
        algorithm.step(*batch_for(algorithm, 10, seed))
    trained = {
        name: tensor
        for name, tensor in held(algorithm).items()
        if name.startswith(("w", "b", "slice")) and "." not in name
    }
    largest = max(float(tensor.abs().max()) for tensor in trained.values())
    assert largest <= 1 if "weights" in chosen else largest > 1


def test_a_sliced_float_step_is_part_of_a_plain_one():
    """Without momentum the slice moves as it does in plain backpropagation, and so its biases."""
    options = {"momentum": 0.0, "lr": 0.1}
    plain, sliced = (
        build_algorithm("backprop", NET, {**options, **more}) for more in ({}, {"slices": 2})
    )
    x, y = batch_for(plain, 10)
    start = matrix(sliced, 2)
    torch.testing.assert_close(plain.predict(x), sliced.predict(x))
    for algorithm in (plain, sliced):
        algorithm.step(x, y)
    torch.testing.assert_close(matrix(sliced, 2)[:16, :8], held(plain)["w2"].detach()[:16, :8])
    assert torch.equal(matrix(sliced, 2)[16:], start[16:])
    torch.testing.assert_close(held(sliced)["b2"][:16], held(plain)["b2"].detach()[:16])
    torch.testing.assert_close(matrix(sliced, 4), held(plain)["w4"].detach())


def test_kept_activations_are_two_bits_each():
    kept = {}
    for chosen in ("float", "binary"):
        options = {"weights": "binary", "activations": chosen}
        algorithm = build_algorithm("backprop", "mlp-64-128-128-10", options)
        scores = 32 * 10 * 4
        kept[chosen] = predict(algorithm, 32).phases["gradient"].entry_bytes - scores
    scale = 4  # one for a layer's weights, one for its activations
    assert kept == {
        "float": 2 * (32 * 128 * 4 + scale),
        "binary": 2 * (32 * 128 * 2 // 8 + 2 * scale),
    }


def test_ram_holds_packed_signs_and_slices_only():
    algorithm = build_algorithm("backprop", "mlp-64-128-128-10", {**BOTH, "slices": 2})
    algorithm.step(*batch_for(algorithm, 12))
    ram = {item.name: item.tensor for item in algorithm.static_tensors() if not item.storage}
    for number, weights in ((1, 64 * 128), (2, 128 * 128)):
        assert ram[f"packed{number}"].nbytes * 8 == weights
        assert ram[f"slice{number}"].numel() * 4 == weights
        assert ram[f"w{number}.momentum"].numel() * 4 == weights
    floats = {n for n, t in ram.items() if t.dtype is torch.float32 and t.numel() > 64 * 32}
    assert floats == {"slice2", "w2.momentum"}


def test_slices_and_bits_need_less_at_every_step_of_the_way():
    """BP, +BA, +BW+BA, +V: the peak of the step, and what is resident."""
    steps = [
        {},
        {"activations": "binary"},
        {**BOTH, "slices": 2},
        {**BOTH, "slices": 4},
        {**BOTH, "slices": 4, "update": "fused"},
    ]
    plans = [
        predict(build_algorithm("backprop", "mlp-784-512x4-10", options), 100) for options in steps
    ]
    peaks = [plan.peak_bytes for plan in plans]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)
    assert plans[2].static_bytes < plans[1].static_bytes / 2


@pytest.mark.parametrize("update", ["separate", "fused"])
@pytest.mark.parametrize("slicing", SLICINGS[:3])  # a released block is put back from a copy
@pytest.mark.parametrize("chosen", COMBINATIONS)
def test_workspace_does_not_own_the_peak(chosen, slicing, update):
    for model, rows in (("mlp-64-128-128-10", 32), ("mlp-784-500-500-500-10", 100)):
        options = {**chosen, **slicing, "update": update}
        plan = predict(build_algorithm("backprop", model, options), rows)
        assert plan.peak_bytes <= 1.10 * plan.device_bytes


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        (NET, {**BOTH, "checkpoint": 2}, "checkpoint and micro_batch go with weights=float"),
        (NET, {"slices": 2, "micro_batch": 4}, "checkpoint and micro_batch go with weights=float"),
        (NET, {"slices": 5}, "slices=5 does not divide width 24 of 'mlp-24-16-32-8-4'; choose"),
        (NET, {"slice_rule": "released"}, "with slices=1 that is the whole layer, choose 2"),
        ("mlp-24-4", BOTH, "'mlp-24-4' has none; use for instance mlp-24-128-4"),
        (NET, {"weights": "ternary"}, "option 'weights' of backprop"),
    ],
)
def test_what_does_not_go_together_is_refused(model, options, says):
    with pytest.raises(ConfigurationError, match=says):
        build_algorithm("backprop", model, options)
