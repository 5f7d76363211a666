"""Nets made wider and deeper by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trainfit.algorithms import ConfigurationError, get_model
from trainfit.algorithms.models import with_depth, with_width


@pytest.mark.parametrize(
    ("name", "units", "wider"),
    [
        ("mlp-784-500x4-10", 2000, "mlp-784-2000x4-10"),
        ("mlp-784-500-500-10", 64, "mlp-784-64x2-10"),
        ("mlp-64-128-10", 1, "mlp-64-1-10"),
        ("mlp-64-64x2-10", 10, "mlp-64-10x2-10"),
        ("mlp-8x1-6x1-4x1", 9_999_999, "mlp-8-9999999-4"),
    ],
)
def test_every_hidden_layer_gets_the_width(name: str, units: int, wider: str) -> None:
    assert with_width(name, units) == wider
    assert get_model(wider).name == wider


@pytest.mark.parametrize(
    ("name", "layers", "deeper"),
    [
        ("mlp-784-2000x4-10", 2, "mlp-784-2000x2-10"),
        ("mlp-784-2000x4-10", 1, "mlp-784-2000-10"),
        ("mlp-64-128-10", 999, "mlp-64-128x999-10"),
        ("mlp-64-64x2-10", 3, "mlp-64-64x3-10"),
    ],
)
def test_hidden_layers_of_one_width_can_be_more_or_fewer(
    name: str, layers: int, deeper: str
) -> None:
    assert with_depth(name, layers) == deeper
    model = get_model(deeper)
    assert model.inputs == get_model(name).inputs
    assert model.classes == get_model(name).classes


@pytest.mark.parametrize("change", [with_width, with_depth])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mlp-64-10",
            "model 'mlp-64-10' has no hidden layers, so that neither width nor depth can be"
            " chosen; use for instance mlp-64-128-10",
        ),
        (
            "mlp-64-100-200x2-10",
            "model 'mlp-64-100-200x2-10' has hidden layers of different widths (100, 200, 200), so"
            " that neither one width nor a number of layers says what it is; use one width, for"
            " instance mlp-64-100x3-10",
        ),
        (
            "lc-1x28x28-16-32-10",
            "model 'lc-1x28x28-16-32-10' is locally connected: its layers have channels and"
            " positions, and neither width nor depth can be chosen; use a fully connected net, for"
            " instance mlp-784-128-10",
        ),
    ],
)
def test_nets_that_have_neither_width_nor_depth(
    change: Callable[[str, int], str], name: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        change(name, 5)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        (with_width, 0, "cannot have 0 units; use 1 to 9999999"),
        (with_width, 10_000_000, "cannot have 10000000 units; use 1 to 9999999"),
        (with_depth, 0, "cannot have 0 hidden layers; use 1 to 999"),
        (with_depth, 1000, "cannot have 1000 hidden layers; use 1 to 999"),
    ],
)
def test_sizes_that_a_name_cannot_say(
    change: Callable[[str, int], str], size: int, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        change("mlp-64-128x2-10", size)
