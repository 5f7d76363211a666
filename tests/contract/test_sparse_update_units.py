"""Sparse update on nets of units: autograd's gradients of the chosen, nothing kept for others."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.builders.unit_net import forward
from tests.contract import test_memory_contract as contract
from tests.contract.cases import UNIT_NETS, reachable_bits, samples_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.data import batches, load_dataset
from trainfit.algorithms.memory.operations import NumberFormat
from trainfit.bench.trace.prediction import predict

RATE = 0.125  # a power of two: to multiply by it and to divide again rounds nothing
BIASES_ONLY = {"layers": "none", "biases": "all"}
CHOICES = [
    {},
    {"layers": "all", "biases": "all"},
    BIASES_ONLY,
    {"layers": "2", "biases": "none"},
    {"layers": "1,3", "biases": "3,4"},
    {"layers": "last:1", "biases": "last:3"},
    {"layers": "2,3", "ratio": 0.5},
    {"layers": "last:3", "biases": "all", "ratio": 0.5, "part": "outputs"},
]


def held(algorithm):
    return {each.name: each.tensor for each in algorithm.static_tensors()}


def build(model, **options):
    """With statistics and gains as they are after training, and not 0 and 1."""
    algorithm = build_algorithm("sparse_update", model, options)
    generator = torch.Generator().manual_seed(1)
    for each in algorithm.static_tensors():
        if each.name.endswith((".gain", ".variance")):
            each.tensor.uniform_(0.5, 1.5, generator=generator)
        elif each.category is Category.BUFFERS:
            each.tensor.uniform_(-0.2, 0.2, generator=generator)
    return algorithm


def layers_of(algorithm):
    """Names of a net's layers and what the bias of each is, by their tensors' order."""
    found = {}
    for name in held(algorithm):
        layer, _, kind = name.rpartition(".")
        if kind == "weight":
            found[layer] = None
        elif kind in {"bias", "shift"}:
            found[list(found)[-1]] = name
    return found


def expected(algorithm):
    """The trained part of every parameter as an index, written from what the options say."""
    options, layers = algorithm.options, layers_of(algorithm)

    def numbers(text):
        if text in {"all", "none"}:
            return range(1, len(layers) + 1) if text == "all" else ()
        if text.startswith("last:"):
            return range(len(layers) - int(text[5:]) + 1, len(layers) + 1)
        return [int(number) for number in text.split(",")]

    weights = numbers(options.layers)
    chosen = options.biases == "chosen"
    biases = range(min(weights), len(layers) + 1) if chosen else numbers(options.biases)
    found = {}
    for number, (layer, bias) in enumerate(layers.items(), start=1):
        if number in weights:
            found[f"{layer}.weight"] = part_of(held(algorithm)[f"{layer}.weight"], options)
        if number in biases:
            found[bias] = slice(None)
    return found


def part_of(weight, options):
    """Of a depthwise convolution, which has one input for each output, outputs in any case."""
    outputs, inputs = weight.shape[:2]
    if options.part == "outputs" or (weight.dim() == 4 and inputs == 1):
        return slice(0, int(outputs * options.ratio))
    return slice(None), slice(0, int(inputs * options.ratio))


@pytest.mark.parametrize(("model", "rows"), UNIT_NETS)
@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_the_chosen_follow_autograd_and_all_others_keep_their_bits(model, rows, options):
    algorithm = build(model, momentum=0.0, lr=RATE, **options)
    before = {name: tensor.clone() for name, tensor in held(algorithm).items()}
    parts = expected(algorithm)
    x, y = samples_for(algorithm, rows)
    own = {
        name: tensor.clone().requires_grad_(not name.endswith((".mean", ".variance")))
        for name, tensor in before.items()
    }
    logits = forward(algorithm.model, x, own, training=False)
    functional.cross_entropy(logits, y).backward()

    algorithm.step(x, y)

    after = held(algorithm)
    for name, was in before.items():
        frozen = torch.ones_like(was, dtype=torch.bool)
        if name in parts:
            part = parts[name]
            frozen[part] = False
            true = own[name].grad[part]
            ours = (was[part] - after[name][part]) / RATE
            least = 1e-5 * max(true.abs().max().item(), 1.0)
            assert true.numel()
            assert torch.allclose(ours, true, rtol=1e-4, atol=least), name
        assert torch.equal(after[name][frozen], was[frozen]), name


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_everything_is_backpropagation_where_nothing_is_normalised(optimizer):
    model, runs = "cnn-2x5x5-c4b-p-c8b-a-f8-4", []
    for name, options in (("backprop", {}), ("sparse_update", {"layers": "all"})):
        algorithm = build_algorithm(name, model, {"optimizer": optimizer, "lr": 0.01, **options})
        for seed in range(3):
            algorithm.step(*samples_for(algorithm, 6, seed))
        runs.append(held(algorithm))
    assert runs[0].keys() == runs[1].keys()
    for name, tensor in runs[0].items():
        assert torch.equal(runs[1][name], tensor), name


def test_adam_moves_some_inputs_of_a_weight_like_all_of_them():
    model = "cnn-2x5x5-c4b-c8b-g-4"
    options = {"layers": "2", "biases": "none", "optimizer": "adam", "weight_decay": 0.01}
    whole, part = (build(model, ratio=ratio, **options) for ratio in (1.0, 0.5))
    x, y = samples_for(whole, 6)
    whole.step(x, y)
    part.step(x, y)
    name = "unit2.conv1.weight"
    assert held(part)[f"{name}.mean"].shape == (8, 2, 3, 3)
    left, right = held(whole)[name], held(part)[name]
    assert torch.allclose(left[:, :2], right[:, :2], rtol=1e-5, atol=1e-7)
    assert not torch.equal(left[:, 2:], right[:, 2:])


@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_only_what_is_trained_has_state(options):
    algorithm = build(UNIT_NETS[0][0], **options)
    states = {
        each.name.removesuffix(".momentum"): each.tensor.shape
        for each in algorithm.static_tensors()
        if each.category is Category.OPTIMIZER_STATE
    }
    parts = expected(algorithm)
    assert states == {name: held(algorithm)[name][part].shape for name, part in parts.items()}


def test_layers_are_counted_as_they_are_built():
    names = list(layers_of(build("resnet8-3x32x32-10")))
    assert names[3:6] == ["block2.conv1", "block2.conv2", "block2.shortcut.conv1"]
    names = list(layers_of(build("cnn-3x8x8-c6-e6-4")))
    assert [name.partition(".")[2] for name in names[1:-1]] == [
        "conv1",
        "conv2",
        "se1.squeeze",
        "se1.excite",
        "conv3",
    ]


# ---- bytes --------------------------------------------------------------------------------------


ROWS, MAP = 4, 4 * 8 * 16 * 16
"""A map of eight channels of 16x16 for four samples, in elements."""


@pytest.mark.parametrize(
    ("options", "floats", "bits"),
    [
        ({"layers": "last:1"}, ROWS * 8, 0),
        (BIASES_ONLY, 0, 3 * MAP),
        ({"layers": "none", "biases": "last:2"}, 0, MAP),
        ({"layers": "2", "biases": "none"}, MAP, 2 * MAP),
        ({"layers": "2", "ratio": 0.5}, MAP // 2, 2 * MAP),
        ({"layers": "2", "ratio": 0.5, "biases": "all"}, MAP // 2, 3 * MAP),
        ({"layers": "2", "ratio": 0.5, "part": "outputs"}, MAP, 2 * MAP),
        ({"layers": "2", "biases": "all"}, MAP, 2 * MAP),
        ({"layers": "all"}, 2 * MAP + ROWS * 8, MAP),
    ],
    ids=str,
)
@pytest.mark.parametrize("normalised", [False, True])
def test_what_is_kept_can_be_counted_by_hand(options, floats, bits, normalised):
    """Of three convolutions with rectifiers, a mean and a dense layer; with the logits."""
    model = f"cnn-4x16x16-{'c8-c8-c8' if normalised else 'c8b-c8b-c8b'}-g-4"
    plan = predict(build_algorithm("sparse_update", model, options), ROWS)
    logits = 4 * ROWS * 4
    assert plan.phases["gradient"].entry_bytes == 4 * floats + bits // 8 + logits


def test_the_bits_of_a_rectifier_that_stops_and_the_input_of_silu():
    block = 6 * 6  # channels inside of the block
    inside, gate = 4 * block * ROWS * 8 * 8, 4 * ROWS * block
    i, e = (
        predict(build_algorithm("sparse_update", f"cnn-3x8x8-c6-{unit}-4", BIASES_ONLY), ROWS)
        .phases["gradient"]
        .entry_bytes
        for unit in ("i6", "e6")
    )
    others = 4 * ROWS * 4 + ROWS * 6 * 8 * 8 // 8
    assert i == others + 2 * inside // 32
    # both inputs of SiLU and what is gated; its means, the gate, and three vectors in between
    squeezed = 4 * ROWS * 1
    assert e == others + 3 * inside + 2 * gate + 2 * squeezed


def test_a_way_of_a_residual_block_ends_where_nothing_is_trained():
    """Of a shortcut alone: no gradient goes through the body beside it, nor below."""
    algorithm = build_algorithm(
        "sparse_update", "resnet8-3x32x32-10", {"layers": "9", "biases": "none"}
    )
    assert list(layers_of(algorithm))[8] == "block3.shortcut.conv1"
    plan = predict(algorithm, ROWS)
    macs = plan.operations.phases["gradient"].macs[NumberFormat.FP32]
    assert macs == ROWS * (10 * 64 + 64 * 32 * 8 * 8)
    given, bits = 4 * ROWS * 32 * 16 * 16, ROWS * 64 * 8 * 8 // 8
    assert plan.phases["gradient"].entry_bytes == given + bits + 4 * ROWS * 10


def test_the_peak_falls_with_what_is_trained():
    """Down to that of inference."""
    peaks = [
        predict(build_algorithm(name, "mobilenet_v2-3x32x32-10", options), 8).peak_bytes
        for name, options in (
            ("sparse_update", {"layers": "last:1"}),
            ("sparse_update", {"layers": "40,43", "biases": "last:16"}),
            ("sparse_update", {"layers": "4,7,10"}),
            ("sparse_update", {"layers": "all"}),
            ("backprop", {"update": "fused"}),
        )
    ]
    assert peaks == sorted(peaks)
    assert peaks[1] * 5 < peaks[-1]


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_flash_changes_where_tensors_count_and_nothing_else(ratio):
    runs = {}
    for place in ("ram", "flash"):
        algorithm = build(UNIT_NETS[3][0], layers="3,5", biases="4", ratio=ratio, frozen=place)
        for seed in range(3):
            algorithm.step(*samples_for(algorithm, 5, seed))
        runs[place] = algorithm
    assert reachable_bits(runs["ram"]) == reachable_bits(runs["flash"])
    ram, flash = (predict(runs[place], 5) for place in ("ram", "flash"))
    assert ram.peak_bytes == flash.peak_bytes
    assert ram.storage_bytes == 0
    assert ram.static_bytes - flash.static_bytes == flash.storage_bytes > 0
    written = set(expected(runs["flash"]))
    for each in runs["flash"].static_tensors():
        if each.category is not Category.OPTIMIZER_STATE:
            assert each.storage == (each.name not in written), each.name


@pytest.mark.parametrize(("model", "rows"), UNIT_NETS)
@pytest.mark.parametrize("options", [BIASES_ONLY, {"layers": "2", "biases": "none", "ratio": 0.5}])
def test_the_prediction_is_exact_for_choices_that_do_not_learn_from_scratch(options, model, rows):
    contract.test_the_trace_is_what_is_measured("sparse_update", options, model, rows)


# ---- what it is for, and what is refused --------------------------------------------------------


def test_biases_alone_adapt_a_trained_net():
    """They are no net by themselves, but a trained one follows a shift of its inputs by them."""
    data, model = load_dataset("digits", None), "cnn-1x8x8-c10-r20s2-p-10"
    generator = torch.Generator().manual_seed(0)

    def train(algorithm, x, epochs):
        for _ in range(epochs):
            for rows, labels in batches(x, data.train_y, 64, generator):
                algorithm.step(rows, labels)

    def accuracy(algorithm, x):
        return (algorithm.predict(x).argmax(1) == data.test_y).float().mean()

    trained = build_algorithm("backprop", model, {})
    train(trained, data.train_x, 5)
    adapted = build_algorithm("sparse_update", model, BIASES_ONLY)
    for each in adapted.static_tensors():
        if each.category is not Category.OPTIMIZER_STATE:
            each.tensor.copy_(held(trained)[each.name])
    other = data.train_x + 2.0, data.test_x + 2.0
    at_first, before = accuracy(adapted, data.test_x), accuracy(adapted, other[1])
    train(adapted, other[0], 4)
    assert at_first > 0.9
    assert before < 0.4
    assert accuracy(adapted, other[1]) > 0.8


def test_a_single_sample_is_normalised_by_what_is_known():
    algorithm = build_algorithm("sparse_update", "vgg8b-3x16x16-10", {})
    algorithm.check_batch(1)
    algorithm.step(*samples_for(algorithm, 1))
    assert all(torch.isfinite(tensor).all() for tensor in held(algorithm).values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "last:9"}, r"layers='last:9', but 'cnn-.*' has layers 1 to 6"),
        ({"layers": "0"}, r"layers='0', but .* has layers 1 to 6"),
        ({"biases": "1,7"}, r"biases='1,7', but .* has layers 1 to 6"),
        ({"layers": "first"}, r"layers='first' is not all, none, last:N or layer numbers"),
        ({"biases": "some"}, r"biases='some' is not .*, or chosen"),
        ({"layers": "none"}, r"layers='none' with biases='chosen' trains nothing of 'cnn-"),
        (
            {"layers": "all", "ratio": 0.5},
            r"ratio=0.5 of the 1 inputs of layer 1 of .*, unit1.conv1, is none; use at least 1",
        ),
        (
            {"layers": "2", "ratio": 0.2},
            r"ratio=0.2 of the 4 groups of layer 2 of .*, unit2.conv1, is none; use at least 0.25",
        ),
        (
            {"layers": "last:1", "ratio": 0.2, "part": "outputs"},
            r"ratio=0.2 of the 4 outputs of layer 6 of .*, classifier.fc1, is none",
        ),
    ],
    ids=str,
)
def test_a_choice_that_cannot_be_is_one_error(options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm("sparse_update", "cnn-1x6x6-c4-d8-r8-p-4", options)
