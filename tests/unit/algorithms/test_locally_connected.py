"""Products of locally connected layers and batch normalisation against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from trainfit.algorithms.models import LocallyConnected
from trainfit.algorithms.numerics.batch_norm import (
    backward_,
    mean_gradients,
    normalise_by_batch_,
    normalise_by_running_,
)
from trainfit.algorithms.numerics.binary.packing import pack_positive, pack_signs, packed_width
from trainfit.algorithms.numerics.locally_connected import (
    add_binary_product,
    add_signed_product,
    bit_patches,
    patches,
    real_patches,
    weight_gradient,
)
from trainfit.algorithms.tiling import in_tiles
from trainfit.algorithms.tinyfoa.described.locally_connected.tiles import choose_tiles
from trainfit.algorithms.tinyfoa.grid import make_grids

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 20))
"""Batch, height, width, inputs at a position."""


def unfolded(maps_BHWK):
    """All patches as (P, B, 9, K), by torch."""
    batch, height, width, inner = maps_BHWK.shape
    laid_out = functional.unfold(maps_BHWK.permute(0, 3, 1, 2), 3, padding=1)
    return laid_out.view(batch, inner, 9, height * width).permute(3, 0, 2, 1)


def packed(values, pack):
    rows = values.flatten(0, -2)
    out = torch.empty(len(rows), packed_width(rows.shape[1]), dtype=torch.uint8)
    pack(rows, out, len(rows))
    return out.view(*values.shape[:-1], -1)


@settings(deadline=None)
@given(SIZES, st.integers(1, 6))
def test_patches_are_those_of_unfold(sizes, size):
    batch, height, width, inner = sizes
    x_BI = torch.rand(batch, inner * height * width)
    expected = unfolded(x_BI.view(batch, inner, height, width).permute(0, 2, 3, 1))
    of = real_patches(x_BI, (inner, height, width))
    got = torch.cat([of(tile) for tile in in_tiles(height * width, size)])
    assert torch.equal(got, expected.flatten(2))


@settings(deadline=None)
@given(SIZES, st.integers(1, 6))
def test_patches_of_bits_are_zeros_and_ones(sizes, size):
    batch, height, width, inner = sizes
    h = torch.randn(batch, height * width, inner)
    of = bit_patches(packed(h, pack_positive), height, inner)
    got = torch.cat([of(tile) for tile in in_tiles(height * width, size)])
    bits = (h > 0).float().view(batch, height, width, inner)
    assert torch.equal(got, unfolded(bits).flatten(2))


@settings(deadline=None)
@given(SIZES, st.integers(1, 5), st.integers(1, 6))
def test_both_products_are_the_product_of_signs(sizes, outputs, size):
    batch, height, width, inner = sizes
    positions = height * width
    h, w = torch.randn(batch, positions, inner), torch.randn(positions, outputs, 9, inner)
    h_bits, w_bits = packed(h, pack_positive), packed(w, pack_signs)
    signs = torch.where(w >= 0, 1.0, -1.0)
    bits = (h > 0).float().view(batch, height, width, inner)
    expected = 1 + torch.einsum("pbsk,pjsk->bpj", unfolded(bits), signs)

    counted = torch.ones(batch, positions, outputs)
    add_binary_product(h_bits, w_bits, counted, width, inner)
    assert torch.equal(counted, expected)

    multiplied = torch.ones(batch, positions, outputs)
    of = bit_patches(h_bits, height, inner)
    for tile in in_tiles(positions, size):
        add_signed_product(of(tile), w_bits[tile], multiplied[:, tile].transpose(0, 1))
    assert torch.equal(multiplied, expected)


@settings(deadline=None)
@given(SIZES, st.integers(1, 5), st.integers(1, 6))
def test_weight_gradients_are_a_product_per_position(sizes, outputs, size):
    batch, height, width, inner = sizes
    positions = height * width
    maps, dz = torch.rand(batch, height, width, inner), torch.randn(batch, positions, outputs)
    got = torch.empty(positions, outputs, 9 * inner)
    for tile in in_tiles(positions, size):
        weight_gradient(dz, patches(maps, tile).flatten(2), tile, got[tile])
    expected = torch.einsum("bpj,pbsk->pjsk", dz, unfolded(maps)).flatten(2)
    torch.testing.assert_close(got, expected)


def test_normalising_by_the_batch_is_torchs_batch_norm():
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(5)
    mean, variance = torch.zeros(5), torch.ones(5)
    for _ in range(3):
        z = torch.randn(40, 5) * 3 + 2
        expected = norm(z)
        deviation = normalise_by_batch_(z, mean, variance)
        torch.testing.assert_close(z, expected.detach())
    torch.testing.assert_close(mean, norm.running_mean)
    torch.testing.assert_close(variance, norm.running_var)
    assert deviation.shape == (5,)

    norm.eval()
    z = torch.randn(7, 5)
    expected = norm(z).detach()
    kept = mean.clone(), variance.clone()
    normalise_by_running_(z, mean, variance)
    torch.testing.assert_close(z, expected)
    assert torch.equal(mean, kept[0])
    assert torch.equal(variance, kept[1])


@pytest.mark.parametrize("rows", [40, 7])
def test_its_gradient_is_autograds_however_many_rows_at_a_time(rows):
    torch.manual_seed(0)
    z = (torch.randn(40, 5) * 3 + 2).requires_grad_()
    gain, shift = torch.randn(5).requires_grad_(), torch.randn(5).requires_grad_()
    du = torch.randn(40, 5)
    functional.batch_norm(z, None, None, gain, shift, training=True).backward(du)

    n = z.detach().clone()
    deviation = normalise_by_batch_(n, torch.zeros(5), torch.ones(5))
    dgain, dshift = (du * n).sum(0), du.sum(0)
    means = mean_gradients(dshift, dgain, 40)
    factor = deviation * gain.detach()
    for start in range(0, 40, rows):
        part = slice(start, start + rows)
        backward_(n[part], du[part], means, factor)
    torch.testing.assert_close(n, z.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(dgain, gain.grad)
    torch.testing.assert_close(dshift, shift.grad)


@given(
    st.integers(1, 512),
    st.sampled_from([1, 2, 4]),
    st.lists(st.integers(1, 64), min_size=1, max_size=3),
    st.booleans(),
)
def test_workspace_is_within_the_map(batch, slices, widths, fused):
    model = LocallyConnected("m", (3, 4, 5), tuple(width * slices for width in widths), 10)
    grids = make_grids(model, slices)
    active = len(grids) - 1
    for index, grid in enumerate(grids):
        chosen = choose_tiles(grids, index, active, batch, fused=fused)
        assert 1 <= chosen.product_positions <= 20
        assert 1 <= chosen.gradient_positions <= 20
        assert 1 <= chosen.batch_rows <= batch
        assert 1 <= chosen.pack_rows <= batch * 20
        assert 1 <= chosen.sign_rows <= grid.units * grid.segments
