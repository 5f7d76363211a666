"""LoRA: the factors follow autograd, the weights stay, and a step stores what the factors need."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract import test_memory_contract as contract
from tests.contract.cases import NETS, batch_for, reachable_bits
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.bench.trace.prediction import predict

NET = "mlp-24-16-32-8-4"
DEEP = "mlp-64-128x6-10"

CHOICES = [
    ({}, "1234", ""),
    ({"biases": "all"}, "1234", "1234"),
    ({"layers": "last:2"}, "34", ""),
    ({"layers": "1,3", "biases": "4"}, "13", "4"),
    ({"layers": "3", "biases": "2"}, "3", "2"),
    ({"layers": "none", "biases": "last:2"}, "", "34"),
]


def held(algorithm):
    return {each.name: each.tensor.clone() for each in algorithm.static_tensors()}


def with_factors(options, model=NET):
    """A rule whose B are not zero any more, so that A has a gradient."""
    algorithm = build_algorithm("lora", model, {"momentum": 0.0, **options})
    for each in algorithm.static_tensors():
        if each.name.startswith("lora_b"):
            each.tensor.normal_(generator=torch.Generator().manual_seed(len(each.tensor)))
    return algorithm


def logits(values, x, scale, layers=4):
    h = x
    for n in range(1, layers + 1):
        w = values[f"w{n}"]
        if f"lora_a{n}" in values:
            w = w + scale * values[f"lora_b{n}"] @ values[f"lora_a{n}"]
        z = functional.linear(h, w, values[f"b{n}"])
        h = torch.relu(z)
    return z


@pytest.mark.parametrize("more", [{}, {"rank": 3, "alpha": 12.0}, {"rank": 40, "alpha": 10.0}])
@pytest.mark.parametrize(("options", "adapted", "biases"), CHOICES)
def test_factors_and_biases_follow_autograd_and_all_else_stays(options, adapted, biases, more):
    """At a large rate, so that a gradient passed through an updated factor would show."""
    lr = 0.5
    algorithm = with_factors({"lr": lr, **options, **more})
    before, (x, y) = held(algorithm), batch_for(algorithm, 10)
    leaves = {name: t.clone().requires_grad_() for name, t in before.items()}
    scale = more.get("alpha", 4.0) / more.get("rank", 4)
    functional.cross_entropy(logits(leaves, x, scale), y).backward()
    algorithm.step(x, y)
    after = held(algorithm)
    trained = {f"lora_{f}{n}" for n in adapted for f in "ab"} | {f"b{n}" for n in biases}
    for name, tensor in before.items():
        if name in trained:
            step = lr * leaves[name].grad
            assert step.abs().max() > 1e-4
            torch.testing.assert_close(after[name], tensor - step, rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(after[name], tensor), name
    assert {n for n in before if n.startswith("lora")} == {n for n in trained if n[0] == "l"}


def test_it_starts_as_the_net_without_adapters_and_predicts_with_them():
    x, _ = batch_for(build_algorithm("lora", NET), 10)
    fresh = build_algorithm("lora", NET, {"rank": 3})
    plain = build_algorithm("backprop", NET)
    assert torch.equal(fresh.predict(x), plain.predict(x))
    algorithm = with_factors({"rank": 3, "alpha": 6.0})
    expected = logits(held(algorithm), x, 2.0)
    torch.testing.assert_close(algorithm.predict(x), expected, rtol=1e-4, atol=1e-4)


def test_a_is_gaussian_of_the_variance_that_is_stated():
    a_RI = held(build_algorithm("lora", "mlp-400-300-10", {"rank": 100}))["lora_a1"]
    assert float(a_RI.std()) == pytest.approx(400**-0.5, rel=0.02)
    assert float(a_RI.mean()) == pytest.approx(0.0, abs=1e-3)
    kurtosis = float((a_RI / a_RI.std()).pow(4).mean())
    assert kurtosis == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize(("options", "adapted", "biases"), CHOICES)
def test_only_what_is_trained_has_optimiser_state(options, adapted, biases):
    algorithm = build_algorithm("lora", NET, options)
    states = {h.name for h in algorithm.static_tensors() if h.category is Category.OPTIMIZER_STATE}
    names = {f"lora_{f}{n}" for n in adapted for f in "ab"} | {f"b{n}" for n in biases}
    assert states == {f"{name}.momentum" for name in names}


def predicted(rows=32, **options):
    return predict(build_algorithm("lora", DEEP, options), rows)


def test_what_lives_at_the_peak_can_be_counted_by_hand():
    """Seven layers, 32 rows, 128 wide: one activation is 16 KiB, one product of rank 4 512 B."""
    activation, product, logits_, mask = 4 * 32 * 128, 4 * 32 * 4, 4 * 32 * 10, 32 * 128 // 8
    whole = predict(build_algorithm("sparse_update", DEEP, {"layers": "all"}), 32)
    every = predicted()
    # at the last layer but one: six inputs are stored, and two gradients there; seven p, one q
    assert every.phases["gradient"].peak_bytes == 7 * activation + logits_ + 8 * product
    assert whole.phases["gradient"].peak_bytes == 7 * activation + logits_
    last = predicted(layers="last:1")
    assert last.peak_bytes == 2 * activation
    assert last.phases["gradient"].peak_bytes == activation + logits_ + 2 * product
    first = predicted(layers="1")  # the batch is stored anyway, the rest are bits
    assert first.phases["forward"].peak_bytes == 2 * activation + 5 * mask + product


def test_what_is_held_grows_with_the_factors_only():
    frozen = sum(i * o + o for i, o in [(64, 128), *[(128, 128)] * 5, (128, 10)])
    factors = 4 * sum(i + o for i, o in [(64, 128), *[(128, 128)] * 5, (128, 10)])
    batch = 32 * 64 * 4 + 32 * 8
    for optimizer, copies in (("sgd", 2), ("adam", 3)):
        plan = predicted(optimizer=optimizer)
        assert plan.static_bytes == 4 * (frozen + copies * factors) + batch
    flash = predicted(frozen="flash")
    assert flash.storage_bytes == 4 * frozen
    assert flash.static_bytes == 4 * 2 * factors + batch
    assert flash.peak_bytes == predicted().peak_bytes


def test_frozen_parameters_in_flash_change_nothing_else():
    runs = []
    for place in ("ram", "flash"):
        algorithm = build_algorithm("lora", NET, {"frozen": place, "biases": "last:1"})
        for seed in range(3):
            algorithm.step(*batch_for(algorithm, 10, seed))
        runs.append(algorithm)
    assert reachable_bits(runs[0]) == reachable_bits(runs[1])
    for each in runs[1].static_tensors():
        frozen = each.name in {"w1", "w2", "w3", "w4", "b1", "b2", "b3"}
        assert each.storage == frozen, each.name


@pytest.mark.parametrize(("model", "rows"), NETS)
@pytest.mark.parametrize(
    "options",
    [
        {"layers": "2", "biases": "all", "momentum": 0.0},
        {"layers": "1", "rank": 1, "optimizer": "adam"},
        {"layers": "none", "biases": "all"},
        {"layers": "2", "biases": "1"},
    ],
)
def test_the_prediction_is_exact_for_choices_that_do_not_learn_from_scratch(options, model, rows):
    contract.test_the_trace_is_what_is_measured("lora", options, model, rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "last:9"}, r"lora: layers='last:9', but .* has layers 1 to 4"),
        ({"layers": "first"}, r"lora: layers='first' is not all, none, last:N or .* such as 1,3$"),
        ({"biases": "0"}, r"lora: biases='0', but .* has layers 1 to 4"),
        ({"layers": "none"}, r"layers='none' with biases='none' trains nothing"),
        ({"rank": 0}, "'rank' of lora"),
        ({"alpha": 0.0}, "'alpha' of lora"),
        ({"nesterov": True, "momentum": 0.0}, "options of lora: nesterov=true"),
    ],
)
def test_a_choice_that_cannot_be_is_one_error(options, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        build_algorithm("lora", NET, options)
    assert "\n" not in str(caught.value)
