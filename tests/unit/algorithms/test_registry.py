"""Names: models, algorithms, options; and what is said when they are wrong."""

from __future__ import annotations

import importlib.metadata
from itertools import pairwise

import pytest

from trainfit import algorithms
from trainfit.algorithms import (
    ConfigurationError,
    build_algorithm,
    get_algorithm,
    get_model,
    outside,
    registry,
)
from trainfit.algorithms.backprop.rule import Backprop


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mlp-64-128-128-10", (64, 128, 128, 10)),
        ("mlp-784-2000x4-10", (784, 2000, 2000, 2000, 2000, 10)),
        ("mlp-784-10", (784, 10)),
        ("mlp-5x2-3", (5, 5, 3)),
    ],
)
def test_models_are_rebuilt_from_their_names(name, sizes):
    model = get_model(name)
    assert model.sizes == sizes
    assert model.name == name
    assert model.parameters == sum(a * b + b for a, b in pairwise(sizes))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mpl-64-10", "unknown model family 'mpl'; did you mean mlp"),
        ("mlp", "needs at least inputs and classes"),
        ("mlp-64", "needs at least inputs and classes"),
        ("mlp-64-0-10", "'0' is not a width"),
        ("mlp-64-a-10", "'a' is not a width"),
        ("mlp-64--10", "'' is not a width"),
        ("mlp-64-128x0-10", "'128x0' is not a width"),
        ("mlp-64-99999999999-10", "is not a width"),
        ("mlp-64-128-1", "at least 2 classes, has 1"),
    ],
)
def test_model_names_that_cannot_be(name, message):
    with pytest.raises(ConfigurationError, match=message):
        get_model(name)


def test_an_unknown_algorithm_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="'backpropp'; did you mean backprop"):
        get_algorithm("backpropp")
    with pytest.raises(
        ConfigurationError, match=r"known: asi, backprop, backprop_dai8, .*, tinyfoa"
    ):
        get_algorithm("zzz")


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_a_description_is_what_the_rule_says_of_itself(name):
    rule = get_algorithm(name)
    described = algorithms.describe_algorithm(name)
    assert described == algorithms.Description(name, rule.summary, rule.paper, rule.options_type)


def test_a_rule_without_a_description_describes_itself(monkeypatch):
    target = f"{Plain.__module__}:Plain"
    monkeypatch.setitem(registry.BUILTIN, "plain", target)
    expected = algorithms.Description("plain", "a plain one", "none", Backprop.options_type)
    assert algorithms.describe_algorithm("plain") == expected
    assert algorithms.describe_algorithm(target) == expected


class Plain(Backprop):
    name = "plain"
    summary = "a plain one"
    paper = "none"


def test_the_face_has_what_it_says_and_nothing_else():
    for name in algorithms.__all__:
        assert getattr(algorithms, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        algorithms.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no.such.module:Thing", "cannot load algorithm 'no.such.module:Thing'"),
        ("trainfit.algorithms.backprop.rule:Nothing", "cannot load"),
        ("trainfit.algorithms.backprop.rule:", "cannot load"),
        ("trainfit.algorithms.models:Mlp", "is not a subclass of"),
        ("trainfit.algorithms.contract:Algorithm", "lacks .*predict.*step"),
    ],
)
def test_algorithms_that_cannot_be_loaded(target, message):
    with pytest.raises(ConfigurationError, match=message):
        get_algorithm(target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("open('/nowhere/at/all')", "FileNotFoundError: "),
        ("class Rule(:", "SyntaxError: invalid syntax"),
        ("def __getattr__(name): raise KeyError(name)", "KeyError: 'Rule'"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(text, message, tmp_path, monkeypatch):
    name = f"broken_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ConfigurationError, match=rf"cannot load algorithm '{name}:Rule': {message}"
    ):
        get_algorithm(f"{name}:Rule")


def test_only_permitted_names_are_imported_from_outside(tmp_path, monkeypatch):
    target = f"{Plain.__module__}:Plain"
    (tmp_path / "evil_rule.py").write_text("raise SystemError('ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with outside.none_but():
        assert get_algorithm("backprop") is Backprop
        for name in ("evil_rule:Rule", target):
            for make in (get_algorithm, algorithms.describe_algorithm):
                with pytest.raises(ConfigurationError, match=f"line too: --algorithm {name}"):
                    make(name)
            with pytest.raises(ConfigurationError, match="and none of that is run unasked"):
                build_algorithm(name, "mlp-64-10")
        outside.permit([target])
        assert get_algorithm(target) is Plain
        with outside.none_but():
            assert outside.permitted() == []
        assert outside.permitted() == [target]
        with pytest.raises(ConfigurationError, match="evil_rule"):
            get_algorithm("evil_rule:Rule")
    assert outside.permitted() is None
    with pytest.raises(ConfigurationError, match="SystemError: ran"):
        get_algorithm("evil_rule:Rule")


def test_an_entry_point_is_found(monkeypatch):
    point = importlib.metadata.EntryPoint(
        "mine", "trainfit.algorithms.backprop.rule:Backprop", registry.GROUP
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert "mine" in algorithms.algorithm_names()
    assert get_algorithm("mine") is Backprop


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("backprop", {"momentun": 0.9}, "option of backprop 'momentun'; did you mean momentum"),
        ("backprop", {"lr": -1}, "option 'lr' of backprop: .*greater than 0, got -1"),
        ("backprop", {"optimizer": "adamw"}, "option 'optimizer' of backprop: .*'sgd' or 'adam'"),
        ("backprop", {"update": "fused", "micro_batch": 2}, "choose one"),
        ("backprop", {"update": "product", "micro_batch": 2}, "makes none, .*choose one"),
        ("backprop", {"update": "product", "weights": "binary"}, "cut.*choose update=fused"),
        ("backprop", {"update": "product", "slices": 2}, "slices=1 .*choose update=fused"),
        ("tinyfoa", {"slices": 3}, "slices=3 does not divide width 64"),
        ("tinyfoa", {"variant": "released", "update": "fused"}, "needs variant=described"),
        ("forward_forward", {"threshold": 0}, "option 'threshold'"),
    ],
)
def test_options_that_cannot_be(name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm(name, "mlp-64-128-10", options)


@pytest.mark.parametrize("name", ["forward_forward", "tinyfoa"])
def test_rules_for_hidden_layers_need_one(name):
    with pytest.raises(ConfigurationError, match="'mlp-64-10' has none; use for instance mlp-64-"):
        build_algorithm(name, "mlp-64-10")


def test_labels_must_fit_into_the_input():
    with pytest.raises(ConfigurationError, match="first 10 inputs, but 'mlp-5-8-10' has 5"):
        build_algorithm("forward_forward", "mlp-5-8-10")


def test_stages_that_do_not_exist():
    algorithm = build_algorithm("tinyfoa", "mlp-64-128x2-10")
    assert algorithm.stages == ("layer1", "layer2")
    assert algorithm.passes(3) == 6
    with pytest.raises(ConfigurationError, match="2 stages, no 2"):
        algorithm.enter_stage(2)


def test_layers_take_turns():
    algorithm = build_algorithm("tinyfoa", "mlp-64-128x2-10")
    active = []
    for epoch in range(algorithm.passes(3)):
        algorithm.begin_epoch(epoch, 3)
        active.append((algorithm._rule._active, algorithm._rule._place))
    assert active == [
        (0, (0, 0)),
        (0, (0, 1)),
        (0, (1, 0)),
        (1, (0, 0)),
        (1, (0, 1)),
        (1, (1, 0)),
    ]
