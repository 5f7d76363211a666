"""Sums that grow with their tensor stay accurate: 64 million elements against float64.

64 million float32 are 256 MB and a few hundredths of a second of summing; they are one million
drawn numbers, repeated, so that the sum in float64 is known from the small tensor.
"""

from __future__ import annotations

import pytest
import torch

from trainfit.algorithms import build_algorithm
from trainfit.algorithms.int8.dai8_clipping import is_gaussian
from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics import sums
from trainfit.algorithms.numerics.batch_norm import normalise_by_batch_
from trainfit.algorithms.numerics.binary.activations import mean_abs
from trainfit.algorithms.numerics.int8.layer import QuantConfig, RowQuantized, rescale
from trainfit.algorithms.numerics.sums import sum_abs
from trainfit.algorithms.options import Int8Kernel, Rounding

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


LC_CHANNELS = 16


@pytest.fixture(scope="module")
def rows() -> torch.Tensor:
    """4 million rows of 16 columns, 64 million elements, their mean far from 0."""
    return drawn(MANY // 4, LC_CHANNELS).add_(1.0).repeat(LC_CHANNELS, 1)


def test_statistics_of_64_million_activations(rows):
    """A batch of 5,350 maps of 28 x 28; torch's own are 1e-4 and 2e-2 off."""
    some = rows[: MANY // 4].double()
    mean, variance = torch.empty(LC_CHANNELS), torch.empty(LC_CHANNELS)
    sums.column_means(rows, mean)
    sums.column_variances(rows, mean, variance)
    assert close(mean, some.mean(0))
    assert close(variance, some.var(0, correction=0))
    assert close(sums.column_lengths(rows), some.norm(dim=0) * LC_CHANNELS**0.5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 8), (7, 13), (5, 16), (100, 33)])
def test_every_column_has_its_own_sum(shape):
    values = drawn(*shape)
    mean, variance = torch.empty(shape[1]), torch.empty(shape[1])
    sums.column_means(values, mean)
    sums.column_variances(values, mean, variance)
    exact = values.double()
    close_to = {"rtol": RELATIVE, "atol": 1e-9}
    torch.testing.assert_close(mean.double(), exact.mean(0), **close_to)
    torch.testing.assert_close(variance.double(), exact.var(0, correction=0), **close_to)
    lengths = sums.column_lengths(values).double()
    torch.testing.assert_close(lengths, exact.norm(dim=0), **close_to)


def test_batch_normalisation_of_a_batch_of_mnist():
    """78,400 rows: 100 maps of 28 x 28."""
    z = drawn(78_400, 8).add_(1.0)
    exact, mean, variance = z.double(), torch.zeros(8), torch.zeros(8)
    deviation = normalise_by_batch_(z, mean, variance)
    assert close(mean, 0.1 * exact.mean(0))
    assert close(variance, 0.1 * exact.var(0))
    assert close(deviation, (exact.var(0, correction=0) + 1e-5).rsqrt())


def test_the_deviation_of_a_channel_over_a_large_batch():
    """Half of the magnitudes are 5e-6 above the deviation; a sum that drifts finds all or none."""
    g = torch.full((1 << 20, 3), 0.1)
    g[::2] *= 1 + 1e-5
    assert is_gaussian(g, 0.49).all()
    assert not is_gaussian(g, 0.51).any()


def test_the_bias_gradient_of_four_million_rows():
    """One sum per output of FF-INT8, over the rows of the batch."""
    g_BO = torch.full((1 << 22, 16), 3, dtype=torch.int8)
    scale_B = torch.full((len(g_BO),), 0.1)
    way = QuantConfig(Rounding.NEAREST, Int8Kernel.COMPILED)

    _, db_O = rescale(RowQuantized(g_BO, scale_B), scale_B, way, 0)

    addend = (g_BO[0].float() * scale_B[0]).double()
    assert close(db_O, addend * len(g_BO))


@pytest.mark.parametrize("outputs", [1, 8, 21])
def test_both_kernels_sum_a_bias_gradient_to_the_same_bits(outputs):
    draws = torch.Generator().manual_seed(outputs)
    g_BO = torch.randint(-127, 128, (301, outputs), dtype=torch.int8, generator=draws)
    scale_B = torch.rand(301, generator=draws)
    found = [
        rescale(RowQuantized(g_BO, scale_B), scale_B, QuantConfig(Rounding.NEAREST, kernel), 0)[1]
        for kernel in Int8Kernel
    ]
    assert torch.equal(*found)
    exact = (g_BO.float() * scale_B[:, None]).double().sum(0)
    assert (found[0].double() - exact).abs().max() <= 1e-7 * exact.abs().max()


@pytest.mark.parametrize("shape", [(64, 2, 224, 224), (4096, 2)])
def test_the_squares_of_a_channel_over_large_maps(shape: tuple[int, ...]):
    """Three million values per channel: across maps torch is 0.1 % off."""
    x = drawn(*shape)
    across = [0, *range(2, x.dim())]
    assert close(sums.channel_squares(x), x.double().square().sum(across))
