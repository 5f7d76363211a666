from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.builders.runs import PLUGINS, workload
from trainfit.algorithms import Algorithm
from trainfit.algorithms.forward_forward.labels import random_wrong_labels
from trainfit.bench.probes import gradients as probes_gradients
from trainfit.bench.probes.gradients import probe_gradients, stage_gradients, stages_begun
from trainfit.bench.records.schema import Evidence, LayerGradients, Workload
from trainfit.bench.training.train import Probe, build, load, train_and_keep

NET = "mlp-12-16-8-4"


def batch(rows: int = 20, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.rand(rows, 12, generator=draws), torch.randint(4, (rows,), generator=draws)


def trained(algorithm: str, **options: Any) -> tuple[Workload, Algorithm[Any]]:
    chosen = workload(algorithm=algorithm, model=NET, options=options, batch_size=20, epochs=1)
    rule = build(chosen)
    for index in range(len(rule.stages)):
        rule.enter_stage(index)
        rule.begin_epoch(index, 1)
        for seed in range(3):
            x, y = batch(seed=seed)
            rule.step(rule.stage_data(x), y)
    return chosen, rule


def found_gradients(chosen: Workload, rule: Algorithm[Any]) -> dict[str, torch.Tensor]:
    held = {each.name: each for each in rule.static_tensors()}
    return stage_gradients(chosen, held, 0, batch())


def leaves(rule: Algorithm[Any]) -> dict[str, torch.Tensor]:
    return {
        each.name: each.tensor.detach().double().requires_grad_()
        for each in rule.static_tensors()
        if "." not in each.name
    }


def same_as_autograd(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found
    for name, g in found.items():
        own = expected[name].grad
        assert own is not None
        assert float((g - own).norm()) < 1e-5 * float(own.norm()), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adam"},
        {"update": "fused"},
        {"update": "product"},
        {"weight_decay": 0.1, "nesterov": True},
    ],
)
def test_of_backprop_it_is_what_autograd_says(options: dict[str, Any]) -> None:
    chosen, rule = trained("backprop", **options)
    w = leaves(rule)
    x, y = batch()
    h = x.double()
    for number in (1, 2):
        h = functional.linear(h, w[f"w{number}"], w[f"b{number}"]).relu()
    functional.cross_entropy(functional.linear(h, w["w3"], w["b3"]), y).backward()

    found = found_gradients(chosen, rule)

    assert list(found) == ["w1", "w2", "w3"]
    same_as_autograd(found, w)


def test_of_local_heads_it_is_autograds_of_each_layers_own_loss() -> None:
    chosen, rule = trained("local_head")
    w = leaves(rule)
    x, y = batch()
    h = x.double()
    for number in (1, 2):
        h = functional.linear(h.detach(), w[f"w{number}"], w[f"b{number}"]).relu()
        scores = functional.linear(h, w[f"v{number}"], w[f"c{number}"])
        functional.cross_entropy(scores, y).backward()

    found = found_gradients(chosen, rule)

    assert list(found) == ["w1", "v1", "w2", "v2"]
    same_as_autograd(found, w)


@pytest.mark.parametrize("options", [{}, {"passes": "joint"}, {"implementation": "autograd"}])
def test_of_forward_forward_it_is_autograds_of_the_goodness_of_both_passes(
    options: dict[str, Any],
) -> None:
    chosen, rule = trained("forward_forward", **options)
    w = leaves(rule)
    x, y = batch()
    wrong = random_wrong_labels(y, 4, build(chosen).generator)  # drawn as a fresh rule draws them
    halves = []
    for labels in (y, wrong):
        h = x.double()
        h[:, :4] = functional.one_hot(labels, 4)
        halves.append(h)
    h = torch.cat(halves)
    h = h / h.square().mean(1, keepdim=True).sqrt()
    for number in (1, 2):
        z = functional.linear(h.detach(), w[f"w{number}"], w[f"b{number}"]).relu()
        over = z.square().sum(1) - z.shape[1]
        (functional.softplus(-over[:20]) + functional.softplus(over[20:])).mean().backward()
        h = z / (z.square().mean(1, keepdim=True).sqrt() + 1e-9)

    same_as_autograd(found_gradients(chosen, rule), w)


def test_the_trained_rule_is_left_as_it_is() -> None:
    chosen, rule = trained("forward_forward", negatives="hard")
    before = {each.name: each.tensor.detach().clone() for each in rule.static_tensors()}

    probe_gradients(chosen, rule, *batch())

    for each in rule.static_tensors():
        assert torch.equal(each.tensor, before[each.name]), each.name


def test_float_weights_beside_integers_have_a_gradient() -> None:
    chosen, rule = trained("qat_int8")

    found = probe_gradients(chosen, rule, *batch())

    assert [layer.tensor for layer in found] == ["w1", "w2", "w3"]
    assert all(layer.evidence is Evidence.ANALYTIC for layer in found)


@pytest.mark.parametrize(
    ("algorithm", "options", "tensor", "reason"),
    [
        ("ff_int8", {}, "w1", "w1 is int8: what a step adds to it is rounded to its own grid"),
        ("ff_int8", {}, "w2", "ff_int8 with master=fp32 has a gradient"),
        ("backprop_int8", {}, "q1", "backprop_int8 with master=fp32 has a gradient"),
        ("tinyfoa", {}, "latent1", "tinyfoa has no plain descent: its step follows w.mean"),
        ("backprop", {"weights": "binary"}, "w1", "does not grow with the learning rate"),
        ("sparse_update", {"layers": "last:1"}, "w1", "no step moves it"),
        ("plain:Delta", {}, "w", None),
    ],
)
def test_what_has_no_gradient_says_why(
    algorithm: str,
    options: dict[str, Any],
    tensor: str,
    reason: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    chosen, rule = trained(algorithm, **options)

    found = {layer.tensor: layer for layer in probe_gradients(chosen, rule, *batch())}

    if reason is None:
        assert found[tensor].reason is None
        return
    assert found[tensor].evidence is Evidence.UNAVAILABLE
    assert reason in str(found[tensor].reason)
    assert found[tensor].max_abs is None


def test_a_rule_that_moves_weights_it_still_needs_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative pass of Forward-Forward goes through what the positive one has left."""
    plain = {name: value for name, value in probes_gradients.PLAIN.items() if name != "passes"}
    monkeypatch.setattr(probes_gradients, "PLAIN", plain)
    chosen, rule = trained("forward_forward", passes="sequential")

    found = probe_gradients(chosen, rule, *batch())

    assert all("moves weights that it still needs" in str(layer.reason) for layer in found)


# ---- over training -------------------------------------------------------------------------------


def learnt(chosen: Workload, *, probed: bool) -> tuple[dict[str, Any], list[LayerGradients]]:
    """Everything that a training leaves behind: tensors, generators, curve; and the gradients."""
    data = load(chosen, None)
    x, y = data.train_x[:32], data.train_y[:32]

    def look(algorithm: Algorithm[Any], passes: int) -> list[LayerGradients]:
        return probe_gradients(chosen, algorithm, x, y, passes=passes)

    probe: Probe | None = look if probed else None
    trained = train_and_keep(chosen, data, lambda _: None, None, probe)
    left: dict[str, Any] = {
        each.name: each.tensor.detach().clone() for each in trained.algorithm.static_tensors()
    }
    left |= {
        "own generator": trained.algorithm.generator.get_state(),
        "torch's generator": torch.get_rng_state(),
        "curve": torch.tensor(trained.accuracy.curve),
    }
    return left, trained.gradients


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("backprop", {"optimizer": "adam"}),
        ("backprop", {"momentum": 0.9}),
        ("forward_forward", {"negatives": "hard"}),
        ("ff_int8", {"master": "fp32"}),
        ("ff_int8", {}),
        ("local_head", {"schedule": "greedy"}),
        ("tinyfoa", {}),
        ("plain:Drawing", {}),
    ],
)
def test_training_is_the_same_bit_for_bit_with_the_probe_and_without(
    algorithm: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    chosen = workload(
        algorithm=algorithm,
        model="mlp-64-10" if ":" in algorithm else "mlp-64-16-12-10",
        options=options,
        train_samples=256,
        epochs=3,
    )

    plain, nothing = learnt(chosen, probed=False)
    probed, gradients = learnt(chosen, probed=True)

    assert not nothing
    assert {each.passes for each in gradients} >= {0, 1, 2, 3}
    assert plain.keys() == probed.keys()
    for name, tensor in plain.items():
        assert torch.equal(tensor, probed[name]), name


def test_what_is_probed_after_a_pass_is_the_net_after_that_pass() -> None:
    def at(passes: int, epochs: int) -> LayerGradients:
        chosen = workload(
            algorithm="forward_forward", model="mlp-64-16-12-10", train_samples=256, epochs=epochs
        )
        _, found = learnt(chosen, probed=True)
        return next(each for each in found if each.passes == passes)

    assert at(2, epochs=3) == at(2, epochs=2)
    assert at(2, epochs=3) != at(3, epochs=3).model_copy(update={"passes": 2})


def test_a_stage_is_probed_once_its_training_begins() -> None:
    chosen = workload(
        algorithm="local_head",
        model="mlp-64-16-12-10",
        options={"schedule": "greedy"},
        train_samples=256,
        epochs=2,
    )

    _, found = learnt(chosen, probed=True)

    by_moment = {
        passes: [each.tensor for each in found if each.passes == passes] for passes in range(5)
    }
    first, both = ["w1", "v1"], ["w1", "v1", "w2", "v2"]
    assert by_moment == {0: first, 1: first, 2: both, 3: both, 4: both}
    assert all(each.evidence is Evidence.ANALYTIC for each in found)
    w1 = [each.max_abs for each in found if each.tensor == "w1"]
    assert w1[2] == w1[3] == w1[4]  # what is trained is left as it was
    assert len(set(w1[:3])) == 3


def test_which_stages_have_begun() -> None:
    stages = ("a", "b", "c")
    begun = [len(stages_begun(stages, 2, passes)) for passes in range(7)]

    assert begun == [1, 1, 2, 2, 3, 3, 3]
    assert stages_begun(stages, 0, 0) == stages


def test_schedules_stand_as_in_the_pass_just_done() -> None:
    """The weight of later losses grows with the passes, and their share of the gradient."""
    options = {"master": "fp32", "lookahead": "true", "lookahead_step": 0.1}
    chosen, rule = trained("ff_int8", **options)
    chosen = chosen.model_copy(update={"epochs": 4})
    x, y = batch()

    def w1(passes: int | None) -> float | None:
        return probe_gradients(chosen, rule, x, y, passes=passes)[0].rms

    found = [w1(passes) for passes in range(5)]

    assert found[0] == found[1]  # nothing is done yet: as in the first pass
    assert len(set(found)) == 4
    assert w1(None) == found[4]


def test_a_step_that_fails_at_such_a_rate_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    chosen = workload(algorithm="plain:Cautious", model="mlp-12-4", batch_size=20, epochs=1)

    (layer,) = probe_gradients(chosen, build(chosen), *batch())

    assert layer.evidence is Evidence.UNAVAILABLE
    assert layer.reason == "a step at a rate of 1.04858e+06 fails: ValueError: that is too fast"
