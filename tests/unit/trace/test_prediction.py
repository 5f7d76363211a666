"""What is predicted of an algorithm, and what cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.plugins.misstated import Overlooked
from tests.plugins.plain import Delta, DeltaOptions
from trainfit.algorithms import ConfigurationError, build_algorithm, get_model, phase
from trainfit.bench.trace.prediction import predict

NET = get_model("mlp-6-4")


def rule(step: Callable[..., None]) -> Delta:
    """One of a third party's with this step."""
    return type("Own", (Delta,), {"name": "own", "step": step})(NET, DeltaOptions())


def test_the_algorithm_is_left_as_it_is() -> None:
    algorithm = build_algorithm("tinyfoa", "mlp-16-8-8-4")
    algorithm.enter_stage(1)
    before = {held.name: held.tensor.clone() for held in algorithm.static_tensors()}
    predict(algorithm, 5)
    assert algorithm.entered == 1
    for held in algorithm.static_tensors():
        assert torch.equal(held.tensor, before[held.name])


def test_static_bytes_by_hand() -> None:
    found = predict(Delta(NET, DeltaOptions()), 5)
    assert found.static_categories == {"inputs": 5 * 6 * 4 + 5 * 8, "parameters": 6 * 4 * 4}
    assert (found.static_bytes, found.storage_bytes) == (256, 0)
    assert found.ram_bytes == 256 + found.peak_bytes


def test_device_and_arena_are_no_larger_and_the_arena_has_no_holes() -> None:
    found = predict(build_algorithm("backprop", "mlp-64-128-128-10"), 32)
    assert found.device_bytes == found.arena_bytes <= found.peak_bytes
    assert found.arena.fragmentation_bytes == 0


def test_a_value_that_decides_nothing_may_be_read() -> None:
    def step(self: Delta, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("update"):
            self.w_IC.sub_(x.t() @ (x @ self.w_IC), alpha=float(self.w_IC.abs().max()))

    found = predict(rule(step), 5)
    assert len(found.trace.reads_of_data) == 1
    assert found.peak_bytes > 0


def test_a_value_that_decides_is_refused_with_its_place() -> None:
    def step(self: Delta, x: torch.Tensor, y: torch.Tensor) -> None:
        with phase("update"):
            if x.sum() > 0:
                self.w_IC.add_(torch.ones_like(self.w_IC))

    with pytest.raises(ConfigurationError, match=r"depends on values .*test_prediction.py:\d+"):
        predict(rule(step), 5)


def test_a_step_that_needs_arrays_is_refused_with_its_error() -> None:
    def step(self: Delta, x: torch.Tensor, y: torch.Tensor) -> None:
        x.numpy()

    with pytest.raises(ConfigurationError, match=r"own cannot be predicted .* raised"):
        predict(rule(step), 5)


def test_an_operator_that_nobody_knows_leaves_the_arithmetic_unknown() -> None:
    found = predict(Overlooked(NET, DeltaOptions()), 5)
    assert found.uncounted == ("misstated.descend.default",)
    assert not found.operations.phases
