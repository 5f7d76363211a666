"""Initial heads and the greedy schedule: what Nokland's and Bio-FO's settings need."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.contract.cases import batch_for
from trainfit.algorithms import Category, ConfigurationError, build_algorithm
from trainfit.algorithms.data import load_dataset
from trainfit.algorithms.local_head.heads import draw_head
from trainfit.algorithms.local_head.options import HeadInit
from trainfit.bench.records.schema import Workload
from trainfit.bench.trace.prediction import predict
from trainfit.bench.training import train

NET = "mlp-24-16-32-8-4"
NOKLAND = {"head_init": "zeros", "optimizer": "adam", "lr": 5e-4, "keep": 0.9}
BIO_FO = {"head": "fixed", "schedule": "greedy", "optimizer": "adam", "lr": 1e-4}


def parameters(algorithm):
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def values(algorithm):
    return {name: tensor.clone() for name, tensor in parameters(algorithm).items()}


# ---- initial weights ------------------------------------------------------------------------


def drawn(init, outputs=2000):
    return draw_head(HeadInit(init), outputs, 50, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ("normal", 1.0),
        ("sign", math.sqrt(1 / 3)),
        ("he", math.sqrt(2 / 2000)),
        ("linear", math.sqrt(1 / 2000 / 3)),
    ],
)
def test_heads_have_the_deviation_of_their_name(init, deviation):
    head_CO = drawn(init)
    assert head_CO.shape == (50, 2000)
    assert abs(float(head_CO.std()) / deviation - 1) < 0.02
    assert abs(float(head_CO.mean())) < 0.02 * deviation


def test_signs_are_a_sixth_each():
    head_CO = drawn("sign")
    assert set(head_CO.unique().tolist()) == {-1.0, 0.0, 1.0}
    for value in (-1.0, 1.0):
        assert abs(float((head_CO == value).float().mean()) - 1 / 6) < 0.005


def test_normal_heads_are_not_only_signs_and_zeros_are_zeros():
    assert len(drawn("normal").unique()) > 90_000
    assert not drawn("zeros").any()


@pytest.mark.parametrize(("head", "init"), [("trained", "linear"), ("fixed", "he")])
def test_the_defaults_are_what_they_were(head, init):
    """The same draws in the same order, to the bit."""
    default, named = (
        parameters(build_algorithm("local_head", NET, {"head": head, **chosen}))
        for chosen in ({}, {"head_init": init})
    )
    assert default.keys() == named.keys()
    assert all(torch.equal(default[name], named[name]) for name in default)


@pytest.mark.parametrize("init", ["linear", "normal", "sign", "he"])
@pytest.mark.parametrize("head", ["trained", "fixed"])
def test_every_layer_has_a_head_of_its_own(head, init):
    held = parameters(
        build_algorithm("local_head", "mlp-24-16x3-4", {"head": head, "head_init": init})
    )
    heads = [
        t
        for name, t in held.items()
        if name in {f"{k}{n}" for k in ("v", "head") for n in (1, 2, 3)}
    ]
    assert len(heads) == 3
    assert not torch.equal(heads[0], heads[1])
    assert all(head_CO.any() for head_CO in heads)


def test_from_heads_of_zeros_the_heads_learn_first():
    """No gradient passes a head of zeros; its bias is drawn, as in Nokland's code."""
    algorithm = build_algorithm("local_head", NET, {"momentum": 0.0, "head_init": "zeros"})
    first = values(algorithm)
    algorithm.step(*batch_for(algorithm, 12))
    second = values(algorithm)
    algorithm.step(*batch_for(algorithm, 12))
    third = values(algorithm)
    for number in (1, 2, 3):
        assert not first[f"v{number}"].any()
        assert first[f"c{number}"].abs().min() > 0
        for name in (f"w{number}", f"b{number}"):
            assert torch.equal(first[name], second[name])
            assert not torch.equal(second[name], third[name])
        for name in (f"v{number}", f"c{number}"):
            assert not torch.equal(first[name], second[name])


def test_fixed_heads_of_zeros_are_refused():
    with pytest.raises(ConfigurationError, match=r"head=fixed with head_init=zeros trains nothing"):
        build_algorithm("local_head", NET, {"head": "fixed", "head_init": "zeros"})


# ---- the schedule ---------------------------------------------------------------------------


def at_stage(index, options=None):
    algorithm = build_algorithm("local_head", NET, {"schedule": "greedy", **(options or {})})
    algorithm.enter_stage(index)
    return algorithm


def test_a_stage_is_a_layer():
    greedy, joint = at_stage(0), build_algorithm("local_head", NET)
    assert greedy.stages == ("layer1", "layer2", "layer3")
    assert greedy.passes(100) == 300
    assert joint.stages == ("all",)
    assert joint.passes(100) == 100


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("options", [{"momentum": 0.0}, BIO_FO | {"head_init": "normal"}])
def test_a_stage_changes_its_layer_and_its_head_only(options, index):
    algorithm = at_stage(index, options)
    before = values(algorithm)
    for seed in range(3):
        algorithm.step(*batch_for(algorithm, 12, seed))
    after = parameters(algorithm)
    changed = {n for n, t in after.items() if "." not in n and not torch.equal(t, before[n])}
    kinds = "wb" if "head" in options else "wbvc"
    assert changed == {f"{kind}{index + 1}" for kind in kinds}


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam"}, {"head": "fixed", "parts": 3}])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_first_step_of_a_stage_is_that_layers_part_of_a_joint_step(index, options):
    joint, greedy = build_algorithm("local_head", NET, options), at_stage(index, options)
    x, y = batch_for(joint, 12)
    for algorithm in (joint, greedy):
        algorithm.step(x, y)
    ours, theirs = parameters(greedy), parameters(joint)
    for kind in "wbvc":
        name = f"{kind}{index + 1}"
        if name in ours:
            assert torch.equal(ours[name], theirs[name])


@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_a_later_stage_follows_the_gradient_of_its_layer_on_frozen_ones(keep):
    """Only the input of the active layer misses units."""
    algorithm = at_stage(2, {"momentum": 0.0, "lr": 0.3, "keep": keep})
    x, y = batch_for(algorithm, 12)
    before = values(algorithm)
    algorithm.step(x, y)
    h = x
    for number in (1, 2):
        h = torch.relu(functional.linear(h, before[f"w{number}"], before[f"b{number}"]))
    h = h * algorithm._dropout.apply_(torch.ones_like(h), 2)
    trained = {name: before[name].requires_grad_() for name in ("w3", "b3", "v3", "c3")}
    h = torch.relu(functional.linear(h, trained["w3"], trained["b3"]))
    functional.cross_entropy(functional.linear(h, trained["v3"], trained["c3"]), y).backward()
    after = parameters(algorithm)
    for name, tensor in trained.items():
        assert tensor.grad.abs().max() > 0
        torch.testing.assert_close(after[name], (tensor - 0.3 * tensor.grad).detach())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_stage_begins_with_an_optimiser_without_history(optimizer):
    algorithm = at_stage(0, {"optimizer": optimizer})
    for seed in range(3):
        algorithm.step(*batch_for(algorithm, 12, seed))
    assert {n.split(".")[0] for n in parameters(algorithm) if "." in n} == {"w1", "b1", "v1", "c1"}
    algorithm.enter_stage(1)
    states = {n: t for n, t in parameters(algorithm).items() if "." in n}
    assert {name.split(".")[0] for name in states} == {"w2", "b2", "v2", "c2"}
    assert not any(state.any() for state in states.values())
    fresh = at_stage(1, {"optimizer": optimizer})
    for name, tensor in parameters(algorithm).items():
        parameters(fresh)[name].copy_(tensor)
    for other in (algorithm, fresh):
        other.step(*batch_for(other, 12, 9))
    for name, tensor in parameters(algorithm).items():
        assert torch.equal(parameters(fresh)[name], tensor)


def test_the_rate_falls_within_each_stage():
    algorithm = at_stage(0, {"decay": "linear", "lr": 1.0})
    rates = []
    for epoch in range(algorithm.passes(4)):
        algorithm.begin_epoch(epoch, 4)
        rates.append(algorithm._optimiser.lr)
    assert rates[:4] == rates[4:8] == rates[8:]
    assert rates[0] == 1.0 > rates[3]


@pytest.mark.parametrize("predict", ["last", "sum"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_stage_predicts_with_the_heads_up_to_its_own(index, predict):
    algorithm = at_stage(index, {"predict": predict})
    x, _ = batch_for(algorithm, 12)
    held, h, scores = parameters(algorithm), x, []
    for number in range(1, index + 2):
        h = torch.relu(functional.linear(h, held[f"w{number}"], held[f"b{number}"]))
        scores.append(functional.linear(h, held[f"v{number}"], held[f"c{number}"]))
    torch.testing.assert_close(
        algorithm.predict(x), sum(scores) if predict == "sum" else scores[-1]
    )


@pytest.mark.parametrize("head", ["trained", "fixed"])
def test_what_a_stage_does_not_use_is_in_storage(head):
    algorithm = at_stage(1, {"head": head, "batch_norm": True})
    stored = {held.name for held in algorithm.static_tensors() if held.storage}
    above = {"w3", "gain3", "shift3", "mean3", "variance3"}
    others = {"v1", "c1", "v3", "c3"} if head == "trained" else {"head1", "head3"}
    assert stored == above | others


def test_a_stage_has_the_state_of_one_layer_and_no_more_dynamic_memory():
    """784 inputs, 3 x 1000: the largest layer counts, not the net."""
    options = {"optimizer": "adam", "head": "fixed"}
    joint = build_algorithm("local_head", "mlp-784-1000x3-10", options)
    greedy = build_algorithm("local_head", "mlp-784-1000x3-10", {**options, "schedule": "greedy"})

    def state(algorithm):
        held = [
            h.tensor.nbytes
            for h in algorithm.static_tensors()
            if h.category is Category.OPTIMIZER_STATE
        ]
        return sum(held)

    whole = predict(joint, 100)
    assert state(joint) == 2 * 4 * (784 * 1000 + 2 * 1000 * 1000 + 3 * 1000)
    for index, inputs in enumerate((784, 1000, 1000)):
        greedy.enter_stage(index)
        plan = predict(greedy, 100)
        assert state(greedy) == 2 * 4 * (inputs * 1000 + 1000)
        assert plan.peak_bytes <= whole.peak_bytes
        assert plan.static_bytes < whole.static_bytes


def test_a_net_too_deep_for_stages_is_refused():
    build_algorithm("local_head", "mlp-4-2x129-2")
    with pytest.raises(ConfigurationError, match="schedule=greedy trains every hidden layer"):
        build_algorithm("local_head", "mlp-4-2x129-2", {"schedule": "greedy"})


# ---- published settings ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        NOKLAND,
        NOKLAND | {"batch_norm": True, "loss": "predsim"},
        NOKLAND | {"batch_norm": True, "loss": "sim"},
        BIO_FO | {"head_init": "normal"},
        BIO_FO | {"head_init": "sign", "parts": 2},
    ],
    ids=["pred", "predsim", "sim", "Bio-FO normal", "Bio-FO sign"],
)
def test_published_settings_learn_the_digits(options):
    data = load_dataset("digits", None)
    workload = Workload(
        algorithm="local_head",
        model="mlp-64-64-64-10",
        dataset="digits",
        batch_size=32,
        epochs=8,
        options=options | {"lr": 10 * options["lr"]},
    )
    result = train.train(workload, data, lambda _: None)
    assert result.epochs == (16 if "schedule" in options else 8)
    assert result.test_accuracy > 0.85


def test_a_greedy_training_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "SAVE_SECONDS", 0.0)
    data = load_dataset("digits", None)
    workload = Workload(
        algorithm="local_head",
        model="mlp-64-32-32-10",
        dataset="digits",
        batch_size=64,
        epochs=2,
        evaluate_every=1,
        options={"schedule": "greedy", "optimizer": "adam", "lr": 0.002, "keep": 0.8},
    )
    whole = train.train(workload, data, lambda _: None)

    class CutError(Exception):
        """The training ends in its second stage."""

    def cut(message):
        if message["doing"] == "accuracy 4/4":
            raise CutError

    with pytest.raises(CutError):
        train.train(workload, data, cut, tmp_path / "state")
    heard = []
    rest = train.train(workload, data, heard.append, tmp_path / "state")
    assert [message["doing"] for message in heard] == ["accuracy 4/4"]
    assert rest.curve == whole.curve
