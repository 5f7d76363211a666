"""Sparse update: the gradients are backpropagation's, and only what they need is stored."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract import test_memory_contract as contract
from tests.contract.cases import NETS, batch_for, reachable_bits
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.data import batches, load_dataset
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"
DEEP = "mlp-64-128x6-10"
BIASES_ONLY = {"layers": "none", "biases": "all"}

CHOICES = [
    ({"layers": "all", "biases": "all"}, "1234", "1234"),
    ({}, "34", "34"),
    ({"layers": "last:1"}, "4", "4"),
    ({"layers": "last:1", "biases": "none"}, "4", ""),
    ({"layers": "1,3"}, "13", "1234"),
    ({"layers": "3,1", "biases": "3,4"}, "13", "34"),
    ({"layers": "2", "biases": "none"}, "2", ""),
    ({"layers": "3", "biases": "last:3"}, "3", "234"),
    (BIASES_ONLY, "", "1234"),
    ({"layers": "none", "biases": "last:2"}, "", "34"),
]


def weight(algorithm, number, part=None):
    """The whole weight, of a layer that may be trained in part."""
    held = {h.name: h.tensor for h in algorithm.static_tensors()}
    pieces = [held[name] for name in (f"w{number}", f"w{number}.frozen") if name in held]
    return torch.cat(pieces, dim=0 if part == "outputs" else 1).clone()


def bias(algorithm, number):
    return {h.name: h.tensor for h in algorithm.static_tensors()}[f"b{number}"].clone()


def true_gradients(parameters, x, y):
    """Autograd's, of the mean cross-entropy; ``parameters`` is [(w, b), ...]."""
    leaves = [(w.clone().requires_grad_(), b.clone().requires_grad_()) for w, b in parameters]
    h = x
    for index, (w, b) in enumerate(leaves):
        h = functional.linear(h, w, b)
        h = torch.relu(h) if index < len(leaves) - 1 else h
    functional.cross_entropy(h, y).backward()
    return [(w.grad, b.grad) for w, b in leaves]


def trained_part(options, shape):
    """Where the weight is that the options train, written from their definition."""
    outputs, inputs = shape
    ratio = options.get("ratio", 1.0)
    if options.get("part") == "outputs":
        return slice(0, int(outputs * ratio)), slice(None)
    return slice(None), slice(0, int(inputs * ratio))


@pytest.mark.parametrize("extra", [{}, {"ratio": 0.5}, {"ratio": 0.3, "part": "outputs"}])
@pytest.mark.parametrize(("options", "weights", "biases"), CHOICES)
def test_chosen_parameters_follow_autograd_and_all_others_stay(options, weights, biases, extra):
    """At a large rate, so that a gradient passed through an updated weight would show."""
    lr, part = 0.5, extra.get("part")
    algorithm = build_algorithm(
        "sparse_update", NET, {"momentum": 0.0, "lr": lr, **options, **extra}
    )
    x, y = batch_for(algorithm, 10)
    before = [(weight(algorithm, n, part), bias(algorithm, n)) for n in range(1, 5)]
    gradients = true_gradients(before, x, y)
    algorithm.step(x, y)
    for n, ((w, b), (dw, db)) in enumerate(zip(before, gradients, strict=True), start=1):
        expected = w.clone()
        if str(n) in weights:
            where = trained_part(extra, w.shape)
            expected[where] -= lr * dw[where]
            assert dw[where].abs().sum() > 0
        torch.testing.assert_close(weight(algorithm, n, part), expected, rtol=1e-4, atol=1e-6)
        untouched = weight(algorithm, n, part) == w
        if str(n) in weights:
            untouched[where] = True
        assert untouched.all()
        if str(n) in biases:
            torch.testing.assert_close(bias(algorithm, n), b - lr * db, rtol=1e-4, atol=1e-6)
            assert not torch.equal(bias(algorithm, n), b)
        else:
            assert torch.equal(bias(algorithm, n), b)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_everything_is_backpropagation(optimizer):
    held = []
    for name, options in (("backprop", {}), ("sparse_update", {"layers": "all"})):
        algorithm = build_algorithm(name, NET, {"optimizer": optimizer, "lr": 0.01, **options})
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        held.append({h.name: h.tensor.detach() for h in algorithm.static_tensors()})
    assert held[0].keys() == held[1].keys()
    for name, tensor in held[0].items():
        torch.testing.assert_close(held[1][name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("options", "weights", "biases"), CHOICES)
def test_only_what_is_trained_has_optimiser_state(options, weights, biases):
    algorithm = build_algorithm("sparse_update", NET, options)
    states = {h.name for h in algorithm.static_tensors() if h.category is Category.OPTIMIZER_STATE}
    assert states == {f"w{n}.momentum" for n in weights} | {f"b{n}.momentum" for n in biases}


def predicted(rows=32, model=DEEP, **options):
    return predict(build_algorithm("sparse_update", model, options), rows)


def test_what_lives_at_the_peak_can_be_counted_by_hand():
    """Seven layers, 32 rows, 128 wide: one activation is 16 KiB, one mask 512 B."""
    activation, mask, logits = 4 * 32 * 128, 32 * 128 // 8, 4 * 32 * 10
    last = predicted(layers="last:1")
    assert last.peak_bytes == 2 * activation  # on the way up, as in inference
    assert last.phases["gradient"].peak_bytes < activation + 2 * logits
    biases = predicted(layers="none", biases="all")
    assert biases.phases["forward"].peak_bytes == 2 * activation + 5 * mask
    # with one activation less than in the forward pass, two gradients and all masks but the last
    tile = 5 * activation // 4 // 16
    assert biases.phases["gradient"].peak_bytes == 2 * activation + 5 * mask + tile
    everything = predicted(layers="all")
    assert everything.phases["gradient"].peak_bytes == 7 * activation + logits
    second = predicted(layers="2", biases="none")
    assert second.phases["forward"].peak_bytes == 3 * activation + 4 * mask


def test_the_peak_falls_with_what_is_trained():
    backprop = predict(build_algorithm("backprop", DEEP, {"update": "fused"}), 32)
    peaks = [
        plan.peak_bytes
        for plan in (
            predicted(layers="last:1"),
            predicted(layers="none", biases="all"),
            predicted(layers="last:3"),
            predicted(layers="last:5"),
            predicted(layers="all"),
            backprop,
        )
    ]
    assert peaks == sorted(set(peaks))
    assert peaks[0] * 3 < peaks[-1]
    assert predicted(layers="all", ratio=0.5).peak_bytes < 0.7 * peaks[4]
    # rows of outputs save the optimiser's memory, not the inputs'
    assert predicted(layers="all", ratio=0.5, part="outputs").peak_bytes == peaks[4]
    statics = [predicted(layers=f"last:{n}").static_bytes for n in (1, 3, 5)]
    assert statics == sorted(set(statics))


def test_nothing_is_stored_and_no_gradient_goes_below_the_lowest_choice():
    for options, stored, gradients in (
        ({"layers": "last:1"}, 0, 0),
        ({"layers": "6"}, 1, 1),
        ({"layers": "5", "biases": "7"}, 2, 2),
        ({"layers": "7", "biases": "5"}, 1, 2),
        (BIASES_ONLY, 6, 6),
    ):
        made = [each for each in predicted(**options).trace.storages if not each.found]
        assert sum("uint8 32x16" in each.label for each in made) == stored, options
        hidden = [each for each in made if each.size == 32 * 128 * 4]
        assert sum(each.category == "gradients" for each in hidden) == gradients


@pytest.mark.parametrize("options", [{}, {"ratio": 0.5}, {"ratio": 0.5, "part": "outputs"}])
def test_frozen_parameters_in_flash_change_where_they_count_and_nothing_else(options):
    runs = {}
    for place in ("ram", "flash"):
        algorithm = build_algorithm("sparse_update", NET, {**options, "frozen": place})
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs[place] = algorithm
    assert reachable_bits(runs["ram"]) == reachable_bits(runs["flash"])
    ram, flash = (predict(runs[place], 10) for place in ("ram", "flash"))
    assert ram.peak_bytes == flash.peak_bytes
    assert ram.storage_bytes == 0
    assert ram.static_bytes - flash.static_bytes == flash.storage_bytes > 0
    with_state = {
        h.name.removesuffix(".momentum")
        for h in runs["flash"].static_tensors()
        if h.category is Category.OPTIMIZER_STATE
    }
    for held in runs["flash"].static_tensors():
        if held.category is Category.PARAMETERS:
            assert held.storage == (held.name not in with_state), held.name


@pytest.mark.parametrize(("model", "rows"), NETS)
@pytest.mark.parametrize("options", [BIASES_ONLY, {"layers": "2", "biases": "none", "ratio": 0.3}])
def test_the_prediction_is_exact_for_choices_that_do_not_learn_from_scratch(options, model, rows):
    contract.test_the_trace_is_what_is_measured("sparse_update", options, model, rows)


def test_biases_alone_adapt_a_trained_net():
    """They are no net by themselves, but a trained one follows a shift of its inputs by them."""
    data = load_dataset("digits", None)
    generator = torch.Generator().manual_seed(0)

    def train(algorithm, x, epochs):
        for _ in range(epochs):
            for rows, labels in batches(x, data.train_y, 64, generator):
                algorithm.step(rows, labels)

    def accuracy(algorithm, x):
        return (algorithm.predict(x).argmax(1) == data.test_y).float().mean()

    trained = build_algorithm("sparse_update", "mlp-64-64-64-10", {"layers": "all"})
    train(trained, data.train_x, 10)
    adapted = build_algorithm("sparse_update", "mlp-64-64-64-10", BIASES_ONLY)
    weights = {h.name: h.tensor for h in trained.static_tensors()}
    for held in adapted.static_tensors():
        if held.category is Category.PARAMETERS:
            held.tensor.copy_(weights[held.name])
    brighter = data.train_x + 2.0, data.test_x + 2.0
    at_first, before = accuracy(adapted, data.test_x), accuracy(adapted, brighter[1])
    train(adapted, brighter[0], 5)
    assert at_first > 0.9
    assert before < 0.5
    assert accuracy(adapted, brighter[1]) > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "last:4"}, r"layers='last:4', but 'mlp-24-16-8-4' has layers 1 to 3"),
        ({"layers": "0"}, r"layers='0', but .* has layers 1 to 3"),
        ({"layers": "1,7"}, r"layers='1,7', but .* has layers 1 to 3"),
        ({"layers": "first"}, r"layers='first' is not all, none, last:N or layer numbers"),
        ({"layers": "last:0"}, r"layers='last:0' is not"),
        ({"layers": "chosen"}, r"layers='chosen' is not .* such as 1,3$"),
        ({"biases": "some"}, r"biases='some' is not .*, or chosen"),
        ({"biases": "last:9"}, r"biases='last:9', but .* has layers 1 to 3"),
        ({"layers": "none"}, r"layers='none' with biases='chosen' trains nothing"),
        ({"layers": "none", "biases": "none"}, r"biases='none' trains nothing"),
        ({"ratio": 0.1}, r"ratio=0.1 of the 8 inputs of layer 3 .* is none; use at least 0.125"),
        ({"ratio": 0.2, "part": "outputs"}, r"the 4 outputs of layer 3 .* use at least 0.25"),
        ({"ratio": 0.0}, r"'ratio' of sparse_update"),
        ({"ratio": 1.5}, r"'ratio' of sparse_update"),
    ],
)
def test_a_choice_that_cannot_be_is_one_error(options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm("sparse_update", "mlp-24-16-8-4", options)


def test_spaces_in_a_list_are_not_guessed_at():
    with pytest.raises(ConfigurationError, match="'1, 3' is not"):
        build_algorithm("sparse_update", NET, {"layers": "1, 3"})
