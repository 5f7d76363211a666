"""Nets of units: names, shapes, counts of parameters, and what cannot be built."""

from __future__ import annotations

import pytest
import torch

from trainfit.algorithms import (
    ConfigurationError,
    build_algorithm,
    build_on_meta,
    complete_name,
    get_model,
)
from trainfit.algorithms.models import FAMILIES, UnitNet, families
from trainfit.algorithms.models.architectures.table import ARCHITECTURES, Architecture
from trainfit.algorithms.models.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GlobalAverage,
    Residual,
)
from trainfit.algorithms.models.units import Unit
from trainfit.algorithms.nets.units import Units

PARAMETERS = {
    "lenet5-1x28x28-10": 61_706,
    "resnet8-3x32x32-10": 78_186,
    "ds_cnn-1x49x10-12": 23_756,
    "mobilenet_v1_025-3x96x96-2": 216_322,
    "resnet18-3x32x32-10": 11_173_962,
    "resnet18-3x224x224-1000": 11_689_512,
    "resnet50-3x224x224-1000": 25_557_032,
    "mobilenet_v2-3x32x32-10": 2_236_682,
    "mobilenet_v2-3x224x224-1000": 3_504_872,
    "efficientnet_b0-3x32x32-10": 4_020_358,
    "efficientnet_b0-3x224x224-1000": 5_288_548,
}
"""As their authors, MLPerf Tiny (trained ones) or torchvision count them."""

WITH_STATISTICS = {
    "resnet8-3x32x32-10": 78_666,
    "ds_cnn-1x49x10-12": 24_908,
    "mobilenet_v1_025-3x96x96-2": 221_794,
}
"""As MLPerf Tiny counts all of them, running mean and variance of batch normalisation too."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_that_are_published(name: str) -> None:
    assert get_model(name).parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", WITH_STATISTICS)
def test_with_running_statistics_as_well(name: str) -> None:
    algorithm = build_on_meta("backprop", name, {"momentum": 0.0})
    assert sum(each.tensor.numel() for each in algorithm.static_tensors()) == WITH_STATISTICS[name]


@pytest.mark.parametrize("family", [each.family for each in ARCHITECTURES])
def test_names_of_tensors_are_unique_and_counts_agree(family: str) -> None:
    name = next(each.example for each in ARCHITECTURES if each.family == family)
    algorithm = build_on_meta("backprop", name, {"momentum": 0.0})
    names = [each.name for each in algorithm.static_tensors()]
    assert len(names) == len(set(names))
    trained = [
        each.tensor.numel()
        for each in algorithm.static_tensors()
        if not each.name.endswith((".mean", ".variance"))
    ]
    assert sum(trained) == get_model(name).parameters


def test_shapes_of_resnet8_are_those_of_the_benchmark() -> None:
    model = get_model("resnet8-3x32x32-10")
    assert isinstance(model, UnitNet)
    assert model.outputs == ((16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 1, 1), (10, 1, 1))
    assert (model.inputs, model.classes, model.shape) == (3 * 32 * 32, 10, (3, 32, 32))


def test_a_short_name_is_completed_from_the_data() -> None:
    assert complete_name("resnet8", (3, 32, 32), 10) == "resnet8-3x32x32-10"
    assert complete_name("cnn-c4-p", (1, 8, 8), 10) == "cnn-1x8x8-c4-p-10"
    for name in ("resnet8-3x16x16-5", "cnn-3x16x16-c4-5"):
        assert complete_name(name, (3, 32, 32), 10) == name


def test_parts_of_a_name_are_layers() -> None:
    model = get_model("cnn-3x32x32-c16k5s2-d8-r8-f12-g-4")
    assert isinstance(model, UnitNet)
    first = model.units[0].layers
    assert first == (Convolution(16, (5, 5), (2, 2), (2, 2)), BatchNorm(), Activation())
    assert isinstance(model.units[2].layers[0], Residual)
    assert model.units[3].layers == (Dense(12), Activation(), GlobalAverage())
    assert model.units[-1] == Unit("classifier", (Dense(4),))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet8", "leaves input and classes to a data set"),
        ("resnet8-10", "'10' is no CHANNELSxHEIGHTxWIDTH"),
        ("resnet8-3x32x32", "is no number of classes"),
        ("resnet8-3x32x32-10-4", "'10-4' is no number of classes"),
        ("resnet8-3x32x32-1", "needs at least 2 classes"),
        ("lenet5-1x6x6-10", "unit conv2: a convolution of 5x5 does not fit on a map of 3x3"),
        ("cnn-c4-p", "leaves input and classes to a data set"),
        ("cnn-3x8x8-c4", "has no number of classes at its end"),
        ("cnn-3x8x8-x4-10", "'x4' is no layer"),
        ("cnn-3x8x8-p-10", "begins with a pool"),
        ("cnn-3x2x2-c4-p-p-10", "unit unit1: a pool of 2x2 does not fit on a map of 1x1"),
        ("cnn-3x8x8-d4k5-10", "k and b are for convolutions"),
        ("cnn-3x8x8-f4s2-10", "s for all but dense layers"),
        ("resnet9-3x32x32-10", "unknown model family 'resnet9'; did you mean"),
    ],
)
def test_what_is_no_net_is_refused_in_one_sentence(name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as error:
        get_model(name)
    assert "\n" not in str(error.value)


def test_layers_that_do_not_fit_are_named_with_their_unit() -> None:
    def net(*layers: object) -> UnitNet:
        units = (Unit("first", layers), Unit("classifier", (Dense(2),)))  # type: ignore[arg-type]
        return UnitNet("net", "net", (6, 8, 8), units)

    with pytest.raises(ConfigurationError, match=r"unit first: a convolution in 4 groups needs"):
        net(Convolution(8, groups=4))
    with pytest.raises(ConfigurationError, match=r"adds 4x8x8 and 6x8x8; both ways"):
        net(Residual((Convolution(4, padding=(1, 1)),)))


def test_an_activation_cannot_end_a_way_of_a_sum() -> None:
    layers = (Residual((Convolution(6, padding=(1, 1)), Activation())),)
    units = (Unit("first", layers), Unit("classifier", (Dense(2),)))
    model = UnitNet("net", "net", (6, 8, 8), units)
    with pytest.raises(ConfigurationError, match="first: neither way of a residual block may end"):
        Units(model, torch.Generator())


def test_every_family_says_how_its_names_are_formed() -> None:
    for name, family in FAMILIES.items():
        assert family.family == name
        assert family.form.startswith(f"{name}-")


class _Point:
    """An entry point of another package."""

    name, value = "tiny", "theirs.nets:TINY"

    def __init__(self, found: object) -> None:
        self._found = found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def _units(shape: tuple[int, int, int], classes: int) -> tuple[Unit, ...]:
    return Unit("conv", (Convolution(4), Activation())), Unit("classifier", (Dense(classes),))


def test_another_packages_architecture_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    point = _Point(Architecture("tiny", _units, "tiny-1x8x8-4"))
    monkeypatch.setattr(families, "_entry_points", lambda: (point,))
    assert complete_name("tiny", (1, 8, 8), 4) == "tiny-1x8x8-4"
    algorithm = build_algorithm("backprop", "tiny-1x8x8-4")
    algorithm.step(torch.rand(3, 64), torch.tensor([0, 1, 2]))
    assert algorithm.predict(torch.rand(5, 64)).shape == (5, 4)
    assert families.family_names()[-1] == "tiny"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (ImportError("no theirs"), r"'tiny' of another package \(theirs.nets:TINY\) cannot be"),
        (object(), "lacks family, kind, form, parse, complete"),
    ],
)
def test_a_broken_architecture_says_whose_it_is(
    monkeypatch: pytest.MonkeyPatch, found: object, words: str
) -> None:
    monkeypatch.setattr(families, "_entry_points", lambda: (_Point(found),))
    with pytest.raises(ConfigurationError, match=words):
        get_model("tiny-1x8x8-4")
