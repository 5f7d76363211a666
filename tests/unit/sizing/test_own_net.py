"""A net of one's own under backpropagation: predicted to the byte, and what is no such net."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plugins import own_nets
from trainfit.bench.profiler import profile_step
from trainfit.bench.sizing.own_net.finding import (
    BatchOfOneError,
    UnpredictableError,
    made_step,
    measure_own_net,
    predict_own_net,
)
from trainfit.bench.sizing.own_net.question import InputType, OwnNet, OwnNetError, asked_about
from trainfit.bench.trace.strangers.prediction import predict_step

HERE = Path(__file__).parent
NETS = "tests.plugins.own_nets"
FORMS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.0},
    {"optimizer": "adam"},
    {"update": "fused"},
    {"update": "fused", "optimizer": "adam"},
    {"micro_batch": 3},
    {"checkpoint": 3, "weight_decay": 0.001, "nesterov": True},
    {"loss": "binary_cross_entropy"},
]


def net(function: Callable[..., Any], *shape: int, **changes: Any) -> OwnNet:
    return OwnNet(f"{NETS}:{function.__name__}", shape, **changes)


def given(module: torch.nn.Module) -> torch.nn.Module:
    return module


def made(asked: OwnNet, rows: int) -> Callable[[], None]:
    return made_step(asked, getattr(own_nets, asked.target.partition(":")[2]), rows)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_predicted_is_measured_in_every_form(options: dict[str, Any]) -> None:
    asked = net(own_nets.small_cnn, 1, 8, 8, options=options)
    predicted = predict_step(make=lambda: made(asked, 8))
    measured = profile_step(made(asked, 8), repeats=1)

    assert predicted.ram_bytes == measured.ram_bytes
    assert {name: each.peak_bytes for name, each in predicted.phases.items()} == {
        name: each.peak_bytes for name, each in measured.phases.items()
    }
    assert set(predicted.phases) == {"forward", "gradient", "update"}
    assert predicted.left_after_step_bytes == measured.left_after_step_bytes == 0


def test_a_linear_layer_by_hand() -> None:
    found = predict_step(make=lambda: made(net(own_nets.linear, 64), 32))
    layer = (64 * 10 + 10) * 4
    batch = 32 * 64 * 4 + 32 * 8
    assert found.static_bytes == 2 * layer + batch  # with momentum
    assert found.phases["update"].peak_bytes == layer + 12  # the gradients, and 0.9 as numbers


def test_fused_updates_hold_one_gradient_at_a_time() -> None:
    peaks = []
    for options in ({"momentum": 0.0}, {"momentum": 0.0, "update": "fused"}):
        asked = net(own_nets.deep, 64, options=options)
        peaks.append(predict_step(make=partial(made, asked, 2)).peak_dynamic_bytes)
    weight = 64 * 64 * 4
    assert peaks[0] > 4 * weight
    assert weight < peaks[1] < 2 * weight


@pytest.mark.parametrize(
    "options", [{}, {"update": "fused"}, {"micro_batch": 3}, {"checkpoint": 2}]
)
def test_every_form_takes_the_same_step(options: dict[str, Any]) -> None:
    states = []
    for chosen in ({}, options):
        torch.manual_seed(0)
        own = net(own_nets.linear, 64, options={"momentum": 0.5, **chosen})
        module = torch.nn.Sequential(
            torch.nn.Linear(64, 10), torch.nn.ReLU(), torch.nn.Linear(10, 4)
        )
        step = made_step(own, partial(given, module), 8)
        for _ in range(3):
            step()
        states.append([each.detach().clone() for each in module.parameters()])
    for one, other in zip(*states, strict=True):
        torch.testing.assert_close(one, other)


def test_it_is_found_in_a_process_of_its_own() -> None:
    asked = net(own_nets.words, 5, input_type=InputType.INT64, classes=3)
    predicted, measured = predict_own_net(asked, HERE, 4), measure_own_net(asked, HERE, 4)

    assert (predicted.evidence, measured.evidence) == ("traced", "allocator")
    assert predicted.ram_bytes == measured.ram_bytes


def test_a_net_of_any_size_is_predicted() -> None:
    found = predict_own_net(net(own_nets.linear, 64), HERE, 2**31)
    assert found.static_bytes > 2**31 * 64 * 4


def test_what_depends_on_data_can_only_be_measured() -> None:
    asked = net(own_nets.Chooses, 8)
    with pytest.raises(
        UnpredictableError, match=r"cannot be predicted: .*own_nets\.py:\d+: .*mask"
    ):
        predict_own_net(asked, HERE, 4)
    assert measure_own_net(asked, HERE, 4).ram_bytes > 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (OwnNet("nowhere:make", (8,)), "--model nowhere:make: there is no module 'nowhere'"),
        (OwnNet("own_nets.py:linear", (8,)), "own_nets.py is a file; write the name of the module"),
        (OwnNet(f"{NETS}:liner", (64,)), "has no 'liner'; did you mean linear"),
        (OwnNet(f"{NETS}:width", (64,)), "width is of type int; it has to be a function"),
        (OwnNet(f"{NETS}:made_already", (64,)), "made_already is of type Linear; it has to be a"),
        (net(own_nets.with_arguments, 8), "with_arguments cannot be called without arguments"),
        (net(own_nets.nothing, 8), r"nothing\(\) returned None and no torch.nn.Module"),
        (net(own_nets.broken, 8), r"broken\(\) raised KeyError: 'no such layer'"),
        (net(own_nets.frozen, 8), "no parameter of the Linear requires a gradient"),
        (
            net(own_nets.linear, 32),
            "the Linear raised RuntimeError: .* on float32 4x32; --input-shape is the shape of one",
        ),
        (
            net(own_nets.small_cnn, 3, 8, 8),
            "the Sequential raised RuntimeError: .* on float32 4x3x8x8; --input-shape is the shape",
        ),
        (net(own_nets.small_cnn, 1, 4, 4), "the Sequential raised RuntimeError"),
        (net(own_nets.words, 5), "the Sequential raised RuntimeError: .*--input-dtype int64"),
        (net(own_nets.TwoHeads, 8), "the TwoHeads gave tuple for 4x8, .* with --step"),
        (net(own_nets.every_position, 3, 4, 4), "gave shape 4x5x4x4 for 4x3x4x4"),
        (net(own_nets.linear, 64, classes=9), "gives 10 scores per sample, --classes is 9"),
        (
            net(own_nets.linear, 64, options={"checkpoint": 2}),
            "checkpoint=2 recomputes parts of a torch.nn.Sequential, and the net is a Linear",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_said(asked: OwnNet, said: str) -> None:
    for found in (predict_own_net, measure_own_net):
        with pytest.raises(OwnNetError, match=said):
            found(asked, HERE, 4)


def test_batch_normalisation_needs_two_samples() -> None:
    with pytest.raises(BatchOfOneError, match="use --batch-size 2 or more"):
        predict_own_net(net(own_nets.pooled, 3, 4, 4), HERE, 1)
    assert predict_own_net(net(own_nets.pooled, 3, 4, 4), HERE, 2).ram_bytes > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_shape": None}, "needs --input-shape, the shape of one sample, such as 3x32x32"),
        ({"input_shape": "3x0"}, "--input-shape 3x0: write the sizes of one sample"),
        ({"input_shape": "9999999999x9999999999"}, "write the sizes of one sample"),
        ({"input_type": "int8"}, "--input-dtype int8: write float32 or int64"),
        ({"algorithms": ["ff_int8"]}, "--algorithm ff_int8 trains nets of its own families"),
        ({"algorithms": ["backprop", "backprop"]}, "--algorithm is given twice"),
        ({"options": ["update=product"]}, "option update=product is for fully connected nets"),
        ({"options": ["weights=binary"]}, "option weights=binary is for fully connected nets"),
        ({"options": ["slices=2"]}, "option slices=2 is for fully connected nets"),
        ({"options": ["update=fused", "micro_batch=2"]}, "choose one"),
        ({"options": ["lr=-1"]}, "option 'lr' of backprop"),
        ({"algorithms": ["backprop[lr=1]"], "options": ["lr=2"]}, "--option lr: "),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_said(changes: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {
        **{"algorithms": [], "options": [], "input_shape": "64", "input_type": None},
        "classes": None,
    }
    with pytest.raises(ValueError, match=said):
        asked_about("train:make_net", **given | changes)


def test_a_question_has_a_name() -> None:
    asked = asked_about(
        "train:make_net",
        algorithms=["backprop[update=fused]"],
        options=["lr=0.1"],
        input_shape="3x32x32",
        input_type="float32",
        classes=10,
    )
    assert asked.name == "backprop[update=fused,lr=0.1] train:make_net"
    assert asked.input_shape == (3, 32, 32)
