"""Locally connected nets by name, which algorithms take them, and short names in suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.builders.runs import workload
from trainfit.algorithms import ConfigurationError, build_algorithm, complete_name, get_model
from trainfit.algorithms.data import Dataset, check_fits
from trainfit.algorithms.models import LocallyConnected, Mlp
from trainfit.bench.run import worker
from trainfit.bench.training import train as training


@pytest.mark.parametrize(
    ("name", "shape", "hidden", "classes"),
    [
        ("lc-1x28x28-16-32-64-64-10", (1, 28, 28), (16, 32, 64, 64), 10),
        ("lc-3x32x32-16-32-64x2-100", (3, 32, 32), (16, 32, 64, 64), 100),
        ("lc-1x13x13-8-5", (1, 13, 13), (8,), 5),
    ],
)
def test_models_are_rebuilt_from_their_names(
    name: str, shape: tuple[int, int, int], hidden: tuple[int, ...], classes: int
) -> None:
    model = get_model(name)
    assert isinstance(model, LocallyConnected)
    assert (model.name, model.shape, model.hidden, model.classes) == (name, shape, hidden, classes)
    assert model.inputs == shape[0] * shape[1] * shape[2]


@pytest.mark.parametrize(
    ("start", "millions"), [("1x28x28", 47.1), ("3x32x32", 61.8), ("1x13x13", 10.1)]
)
def test_the_sizes_are_those_of_the_papers_nets(start: str, millions: float) -> None:
    model = LocallyConnected.parse(f"lc-{start}-16-32-64-64-10")
    assert round(model.weights / 1e6, 1) == millions


def test_parameters_are_counted_by_hand() -> None:
    model = get_model("lc-2x3x4-5-6-7")
    first, second = 12 * 9 * 2 * 5, 12 * 9 * 5 * 6
    biases, norms = 12 * (5 + 6), 2 * (5 + 6)
    assert model.parameters == first + second + biases + norms + (12 * 6 + 1) * 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lc", "'' is not a number of channels"),
        ("lc-1x28x28", "needs at least one hidden layer and classes"),
        ("lc-1x28x28-10", "needs at least one hidden layer and classes"),
        ("lc-1x28x28-16-1", "at least 2 classes, has 1"),
        ("lc-1x28x28-16-a-10", "'a' is not a number of channels"),
        ("lc-1x28-16-10", "leaves input and classes to a data set"),
        ("lc-0x28x28-16-10", "'0x28x28' is not a number of channels"),
        ("lc-16-32", "write for instance lc-1x28x28-16-32-10"),
        ("cl-16-32", "unknown model family 'cl'; did you mean lc"),
    ],
)
def test_names_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        get_model(name)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("lc-16-32x2", "lc-3x8x9-16-32x2-7"),
        ("lc-1x28x28-16-10", "lc-1x28x28-16-10"),
        ("mlp-64-128-10", "mlp-64-128-10"),
        ("lc", "lc"),
    ],
)
def test_short_names_take_the_rest_from_the_data(name: str, full: str) -> None:
    assert complete_name(name, (3, 8, 9), 7) == full


def test_completing_a_name_of_no_family() -> None:
    with pytest.raises(ConfigurationError, match="unknown model family 'mpl'"):
        complete_name("mpl-64", (1, 8, 8), 10)


@pytest.mark.parametrize("name", ["dfa", "drtp", "lora"])
def test_rules_for_fully_connected_nets_refuse_others(name: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        build_algorithm(name, "lc-1x8x8-16-10")
    assert str(error.value) == (
        f"{name} trains fully connected nets (mlp-...), 'lc-1x8x8-16-10' is locally connected"
    )


def test_a_rule_says_which_nets_it_trains() -> None:
    assert Mlp in build_algorithm("tinyfoa", "mlp-64-16-10").models
    assert LocallyConnected in build_algorithm("tinyfoa", "lc-1x8x8-16-10").models


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("lc-1x8x8-16-8-10", {"slices": 3}, "slices=3 does not divide the 16 channels"),
        ("lc-1x8x8-16-6-10", {"slices": 4}, "slices=4 does not divide the 6 channels"),
        (
            "lc-1x8x8-16-10",
            {"variant": "released", "slices": 3},
            "slices=3 does not divide the 16 channels",
        ),
        (
            "lc-1x8x8-16-10",
            {"variant": "released", "update": "fused"},
            "update=fused needs variant=described",
        ),
        (
            "lc-1x8x8-16-10",
            {"variant": "released", "frozen_statistics": "batch"},
            "frozen_statistics=batch needs variant=described",
        ),
        ("mlp-64-16-10", {"frozen_statistics": "batch"}, "and a net with batch normalisation"),
    ],
)
def test_options_that_cannot_be(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_algorithm("tinyfoa", model, options)


def data_of(shape: tuple[int, int, int]) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(4, (60,), generator=generator)
    x = torch.rand(60, shape[0] * shape[1] * shape[2], generator=generator)
    return Dataset("few", x[:40], y[:40], x[40:], y[40:], 4, shape)


def fit(model: str, shape: tuple[int, int, int]) -> None:
    parsed = get_model(model)
    check_fits(data_of(shape), parsed.inputs, parsed.classes, 10, model, model_shape=parsed.shape)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 24)])
def test_a_map_fits_data_of_its_shape_or_a_series(shape: tuple[int, int, int]) -> None:
    fit("lc-2x3x4-8-4", shape)


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (
            "lc-2x3x4-8-4",
            (2, 4, 3),
            "model 'lc-2x3x4-8-4' takes 2x3x4 inputs but dataset 'few' has 2x4x3; "
            "use for instance lc-2x4x3-8-4",
        ),
        (
            "lc-1x3x4-8x2-3",
            (1, 1, 24),
            "model 'lc-1x3x4-8x2-3' takes 1x3x4 inputs but dataset 'few' has 1x1x24 and "
            "has 3 classes but dataset 'few' has 4; use for instance lc-1x1x24-8x2-4",
        ),
    ],
)
def test_a_map_of_another_shape_does_not_fit(
    model: str, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        fit(model, shape)
    assert str(error.value) == message


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, root: Path | None) -> Dataset:
        return data_of((1, 1, 1) if name == "points" else (2, 3, 4))

    monkeypatch.setattr(training, "load_dataset", load)


def checked(**changes: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    values = {"algorithm": "tinyfoa", "model": "lc-4-4", "dataset": "few", **changes}
    dumped = workload(**values).model_dump(mode="json")
    worker.preflight({"workloads": [dumped], "data_root": None}, messages.append)
    return messages


@pytest.mark.usefixtures("few")
def test_a_short_name_is_completed_before_anything_is_built() -> None:
    assert checked()[-1] == {"doing": "building"}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "drtp"}, "'lc-2x3x4-4-4-4' is locally connected"),
        ({"model": "lc-4-x"}, "'x' is not a number of channels"),
        ({"model": "lc-3x3x4-4-4"}, "takes 3x3x4 inputs but dataset 'few' has 2x3x4"),
        ({"options": {"slices": 3}}, "slices=3 does not divide the 4 channels"),
        (
            {"dataset": "points", "batch_size": 1},
            "workload 1 (tinyfoa): batch size 1 with 1 position per map gives batch normalisation"
            " one value per channel, which has no variance; use a batch size of at least 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_measured(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        checked(**changes)
    assert message in str(error.value)


@pytest.mark.usefixtures("few")
def test_a_workload_with_a_short_name_is_measured() -> None:
    parts: dict[str, Any] = {}
    described = workload(algorithm="tinyfoa", model="lc-4-4", dataset="few", batch_size=5, epochs=1)
    job = {
        "workload": described.model_dump(mode="json"),
        "data_root": None,
        "threads": 1,
        "measure": ["memory", "accuracy"],
        "state": None,
    }
    worker.measure(job, parts.update)
    stages = parts["memory"]["stages"]
    assert [stage["stage"] for stage in stages] == ["layer1", "layer2"]
    assert [stage["residual"]["unexplained_bytes"] for stage in stages] == [0, 0]
    assert parts["accuracy"]["epochs"] == 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("784-256-256-10", "mlp-784-256-256-10"),
        ("784-256x2-10", "mlp-784-256x2-10"),
        ("1x28x28-16-32-10", "lc-1x28x28-16-32-10"),
    ],
)
def test_widths_without_a_family_are_told_whose_they_may_be(written: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        get_model(written)

    assert str(error.value) == f"unknown model '{written}'; did you mean {meant}?"
    get_model(meant)
