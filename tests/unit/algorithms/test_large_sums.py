"""Sums that grow with their tensor stay accurate: 64 million elements against float64.

64 million float32 are 256 MB and a few hundredths of a second of summing; they are one million
drawn numbers, repeated, so that the sum in float64 is known from the small tensor.
"""

from __future__ import annotations

import pytest
import torch

from trainfit.algorithms import build_algorithm
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import mean_abs, sum_abs

MANY, REPEATS = 1 << 20, 64
RELATIVE = 1e-6


def drawn(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) - 0.25


def close(found: torch.Tensor, exact: torch.Tensor) -> bool:
    return bool(((found.double() - exact).abs() <= RELATIVE * exact.abs()).all())


@pytest.fixture(scope="module")
def large() -> tuple[torch.Tensor, torch.Tensor]:
    """64 million numbers, and the mean of their magnitudes in float64."""
    some = drawn(MANY)
    return some.repeat(REPEATS), some.double().abs().mean()


@pytest.mark.parametrize(
    "shape",
    [(1 << 26,), (1, 1 << 26), (1 << 26, 1), (1 << 13, 1 << 13), (2, 1 << 10, 1 << 15)],
    ids=["flat", "one row", "one column", "square", "groups"],
)
def test_the_mean_of_64_million_magnitudes(large, shape):
    values, exact = large
    assert close(mean_abs(values.view(shape)), exact)


@pytest.mark.parametrize("value", [0.1, 1 / 3], ids=["a tenth", "a third"])
def test_equal_magnitudes_do_not_drift(value):
    """All roundings of a sum one after the other go the same way where the addends are equal."""
    values = torch.full((1 << 22,), value)
    assert close(mean_abs(values), values[0].double())


@pytest.mark.parametrize("count", [1, 15, 16, 17, 1000, 4097])
def test_no_element_is_left_out(count):
    values = drawn(count)
    torch.testing.assert_close(
        sum_abs(values).double(), values.double().abs().sum(), rtol=1e-7, atol=0
    )


def test_what_is_not_contiguous_is_refused_not_copied():
    with pytest.raises(RuntimeError, match="view"):
        sum_abs(drawn(4, 6).T)


def test_a_sum_on_the_meta_device_has_a_shape():
    assert mean_abs(torch.empty(3, 4, device="meta")).shape == ()


def test_the_scale_of_a_layer_trained_a_slice_at_a_time():
    rule = build_algorithm("tinyfoa", "mlp-4096-2048-10")._rule
    layer, exact = rule._layers[0], rule._latent().double().abs().mean()
    rule._rescale(layer.scale)
    assert close(layer.scale, exact)


def test_the_scale_of_a_sliced_layer_after_an_update():
    w_OI = drawn(1 << 11, 1 << 12)
    layer = BinaryLayer(1, w_OI.clone(), torch.zeros(len(w_OI)), groups=2, binary=True)
    layer.clip()
    assert close(layer.weights.scale(), w_OI.double().abs().mean())
