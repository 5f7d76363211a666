"""Products with binary weights and activations against the plain tensors they stand for."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainfit.algorithms.nets.binary_layer import BinaryLayer
from trainfit.algorithms.numerics.binary.activations import (
    Bits,
    binarise,
    bit_tiles,
    mask_,
    mean_abs,
    ste_backward_,
    ste_clip_,
    tile_extent,
    unpack_tile,
    weight_gradient,
)
from trainfit.algorithms.numerics.binary.packing import pack_signs, packed_width
from trainfit.algorithms.numerics.binary.sign_weights import LatentSigns, PackedSigns
from trainfit.algorithms.numerics.binary.weights import FloatWeights, input_gradient, linear


def signs(values):
    return torch.where(values >= 0, 1.0, -1.0)


def grouped(w, groups):
    return w.unflatten(1, (groups, -1)).transpose(0, 1).contiguous()


def weights_of(kind, w, groups):
    """(weights, their scale, the matrix they stand for)."""
    w_MOK = grouped(w, groups)
    if kind == "float":
        return FloatWeights(w_MOK), None, w
    expected = signs(w) * w.abs().mean()
    if kind == "latent":
        weights = LatentSigns(w_MOK)
        return weights, weights.scale(), expected
    width = w_MOK.shape[2]
    packed = torch.empty(groups, len(w), packed_width(width), dtype=torch.uint8)
    for group in range(groups):
        pack_signs(w_MOK[group], packed[group], len(w))
    weights = PackedSigns(packed, w.abs().mean(), width)
    return weights, weights.scale(), expected


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 3))
"""Batch, outputs, inputs of a group, groups."""


@pytest.mark.parametrize("bits", [False, True])
@pytest.mark.parametrize("kind", ["float", "latent", "packed"])
@settings(deadline=None, max_examples=25)
@given(SIZES)
def test_products_are_those_of_the_matrices_they_stand_for(kind, bits, sizes):
    batch, outputs, width, groups = sizes
    generator = torch.Generator().manual_seed(batch + 100 * outputs + 10000 * width)
    w = torch.randn(outputs, groups * width, generator=generator)
    w[0, 0] = 0.0  # its sign is +1
    z = torch.randn(batch, groups * width, generator=generator)
    b, dz = torch.randn(outputs), torch.randn(batch, outputs)
    h, plain = (binarise(z, groups), (z > 0) * z.abs().mean()) if bits else (z, z)
    weights, scale, expected = weights_of(kind, w, groups)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(linear(h, weights, b, scale), plain @ expected.T + b, **close)
    torch.testing.assert_close(input_gradient(dz, weights, scale), dz @ expected, **close)
    for group in range(groups):
        columns = weights.columns(group)
        gradient = weight_gradient(dz.clone(), h, group, width)
        torch.testing.assert_close(gradient, dz.T @ plain[:, columns], **close)
    assert torch.equal(w, weights_of("float", w, groups)[2])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 3))
def test_activations_keep_two_bits_and_their_scale(batch, width, groups):
    z = 2 * torch.randn(batch, groups * width)
    z[0, 0] = 0.0
    h = binarise(z, groups)
    assert h.bits_MBb.shape == (groups, batch, packed_width(width))
    torch.testing.assert_close(h.scale, z.abs().mean())
    for group in range(groups):
        tiles = [unpack_tile(h, group, tile) for tile in bit_tiles(width, batch)]
        part = z[:, group * width : (group + 1) * width]
        assert torch.equal(torch.cat(tiles, dim=1), (part > 0).float())
    dh = torch.randn_like(z)
    assert torch.equal(ste_backward_(dh.clone(), h), dh * ((z > 0) & (z < 1)))
    assert binarise(z, groups, mask=False).inside_Bb.numel() == 0


def test_a_rectifier_lets_gradients_through_where_it_is_open():
    h = torch.tensor([[0.0, 0.5, 2.0]])
    assert torch.equal(ste_backward_(torch.ones(1, 3), h), torch.tensor([[0.0, 1.0, 1.0]]))


def test_gradients_are_cut_from_a_magnitude_of_one():
    latent = torch.tensor([[-2.0, -1.0, -0.99, 0.0, 0.99, 1.0, 2.0]])
    assert torch.equal(ste_clip_(torch.ones(1, 7), latent), (latent.abs() < 1).float())


def test_latent_signs_follow_their_weights_and_packed_ones_do_not():
    w = torch.ones(1, 3, 8)
    weights = LatentSigns(w)
    h = torch.ones(2, 8)
    assert linear(h, weights, torch.zeros(3), weights.scale()).eq(8.0).all()
    w.mul_(-2.0)
    assert linear(h, weights, torch.zeros(3), weights.scale()).eq(-16.0).all()


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_tiles_are_small_parts_that_cover_everything(extent, batch):
    assert 1 <= tile_extent(extent, batch) <= -(-extent // 16)
    assert tile_extent(extent, batch) * batch <= max(1 << 20, batch)
    tiles = list(bit_tiles(extent, batch))
    assert tiles[0].start == 0
    assert tiles[-1].stop == extent
    assert all(one.stop == other.start for one, other in pairwise(tiles))
    assert all(tile.start % 8 == 0 for tile in tiles)


def test_the_mean_of_magnitudes():
    assert mean_abs(torch.tensor([[1.0, -3.0]])) == 2.0
    assert isinstance(binarise(torch.ones(1, 1)), Bits)


# --- a layer that is trained in turns


@pytest.mark.parametrize("groups", [1, 2])
def test_a_layer_that_is_left_keeps_what_it_has_learnt(groups):
    w_OI = torch.linspace(-0.9, 0.9, 24).view(4, 6)
    layer = BinaryLayer(1, w_OI.clone(), torch.zeros(4), groups=groups, binary=True, packed=True)
    layer.enter_slice(groups - 1, groups - 1)
    layer.weight_JK.neg_()
    layer.leave()
    held = {each.name: each for each in layer.static_tensors()}
    expected = w_OI.clone()
    expected[4 - 4 // groups :, 6 - 6 // groups :].neg_()
    assert torch.equal(torch.cat(list(held["latent1"].tensor), dim=1), expected)
    assert held["latent1"].storage
    assert held["slice1"].tensor.numel() == layer.bias.numel() == 0
    layer.enter_slice(0, 0)
    assert torch.equal(layer.weight_JK, expected[: 4 // groups, : 6 // groups])


def test_float_weights_are_trained_where_they_lie():
    layer = BinaryLayer(1, torch.ones(4, 6), torch.zeros(4), groups=2, binary=False)
    layer.enter_slice(1, 0)
    layer.weight_JK.mul_(3.0)
    layer.leave()
    [held] = [each.tensor for each in layer.static_tensors() if each.name == "w1"]
    assert torch.equal(held[0], torch.tensor([1.0, 1.0, 3.0, 3.0])[:, None].expand(4, 3))
    assert torch.equal(held[1], torch.ones(4, 3))


def test_a_gradient_is_kept_where_a_bit_is_set():
    h = binarise(torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.9, 1.0]]))
    found = mask_(torch.full((2, 3), 7.0), h.inside_Bb)
    assert torch.equal(found, torch.tensor([[7.0, 0.0, 0.0], [7.0, 7.0, 0.0]]))
