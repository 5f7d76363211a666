"""``loss=binary_cross_entropy``: every rule with one classifier takes it, the others refuse it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import (
    ConfigurationError,
    algorithm_names,
    build_algorithm,
    describe_algorithm,
)
from trainfit.algorithms.options import LossOptions
from trainfit.algorithms.registry import BUILTIN

NET = "mlp-24-16-32-8-4"
LOSS = {"loss": "binary_cross_entropy"}
TAKING = [
    name
    for name in algorithm_names()
    if name in BUILTIN and issubclass(describe_algorithm(name).options_type, LossOptions)
]


def parameters(algorithm):
    return {held.name: held.tensor.detach().clone() for held in algorithm.static_tensors()}


def mean_loss(logits_BC, y_B):
    target_BC = functional.one_hot(y_B, logits_BC.shape[1]).float()
    return functional.binary_cross_entropy_with_logits(logits_BC, target_BC)


def test_these_rules_take_it():
    assert {"backprop", "dfa", "drtp", "sparse_update", "zeroth_order", "qat_int8"} <= set(TAKING)
    assert {"backprop_int8", "backprop_ui8", "backprop_dai8", "ptq_int8"} <= set(TAKING)


FOLLOWING = [
    ("asi", {"rank": 12}),  # as many as rows
    ("backprop", {}),
    ("backprop", {"checkpoint": 2, "micro_batch": 5}),
    ("backprop", {"update": "fused"}),
    ("backprop", {"update": "product", "checkpoint": 2}),
    ("ptq_int8", {}),
    ("sparse_update", {"layers": "all", "biases": "all"}),
]


@pytest.mark.parametrize(("name", "options"), FOLLOWING)
def test_rules_with_the_true_gradient_take_autograds_step(name, options):
    lr = 5.0
    algorithm = build_algorithm(name, NET, {"momentum": 0.0, "lr": lr, **options, **LOSS})
    before, (x, y) = parameters(algorithm), batch_for(algorithm, 12)
    algorithm.step(x, y)
    after = parameters(algorithm)
    leaves = {key: t.requires_grad_() for key, t in before.items() if key[0] in "wb"}
    h = x
    for number in range(1, 5):
        z = functional.linear(h, leaves[f"w{number}"], leaves[f"b{number}"])
        h = torch.relu(z)
    mean_loss(z, y).backward()
    assert len(leaves) == 8
    for key, leaf in leaves.items():
        assert leaf.grad.abs().max() > 0
        torch.testing.assert_close(after[key], (leaf - lr * leaf.grad).detach())


BY_THE_BIAS = [
    ("backprop", {"weights": "binary", "activations": "binary"}, "b4"),
    ("backprop", {"slices": 2, "slice_rule": "released"}, "b4"),
    ("backprop_dai8", {}, "b4"),
    ("backprop_int8", {}, "b4"),
    ("backprop_int8", {"master": "fp32"}, "b4"),
    ("backprop_ui8", {"alpha": 0.0}, "b4"),  # alpha scales the rate
    ("dfa", {}, "b4"),
    ("dfa", {"activations": "binary", "hidden_gradient": "sum"}, "b4"),
    ("drtp", {}, "b4"),
    ("drtp", {"weights": "binary", "hidden_gradient": "sum"}, "b4"),
    ("lora", {"biases": "all"}, "b4"),
    ("qat_int8", {}, "b4"),
]


@pytest.mark.parametrize(("name", "options", "bias"), BY_THE_BIAS)
def test_the_classifiers_bias_moves_by_the_gradient_of_the_loss(name, options, bias):
    """Whatever the hidden layers do, ``db`` is the sum over the batch of dL/da."""
    lr = 2.0
    algorithm = build_algorithm(name, NET, {"momentum": 0.0, "lr": lr, **options, **LOSS})
    before, (x, y) = parameters(algorithm), batch_for(algorithm, 12)
    logits_BC = algorithm.predict(x).detach().requires_grad_()
    mean_loss(logits_BC, y).backward()
    algorithm.step(x, y)
    moved_C = before[bias] - lr * logits_BC.grad.sum(0)
    if options.get("weights") == "binary":
        moved_C.clamp_(-1, 1)
    assert (moved_C - before[bias]).abs().max() > 1e-2
    torch.testing.assert_close(parameters(algorithm)[bias], moved_C, rtol=1e-5, atol=1e-6)


def test_every_rule_that_takes_it_is_tested_here():
    assert {name for name, *_ in [*FOLLOWING, *BY_THE_BIAS]} | {"zeroth_order"} == set(TAKING)


def test_the_slope_of_mezo_is_that_of_the_loss():
    algorithm = build_algorithm("zeroth_order", NET, LOSS)
    x, y = batch_for(algorithm, 10)
    expected = float(mean_loss(algorithm.predict(x), y))
    with torch.no_grad():
        assert algorithm._loss(x, y, again=False) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - set(TAKING)))
def test_a_rule_without_one_says_what_it_has(name):
    with pytest.raises(ConfigurationError) as refused:
        build_algorithm(name, NET, LOSS)
    message = str(refused.value)
    assert name in message
    assert "loss" in message
    expected = {
        "forward_forward": "'logistic' or 'symba'",
        "ff_int8": "goodness",
        "local_head": "pred",  # of its options, or of the losses it has
        "mem_pepita": "softmax",
        "pepita": "softmax",
        "tinyfoa": "head",
    }
    assert expected[name] in message, message
