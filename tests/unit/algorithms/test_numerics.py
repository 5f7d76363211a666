"""Optimisers against torch's, packed bits against the plain tensors they stand for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary.bit_products import add_binary_product
from trainfit.algorithms.numerics.binary.packing import (
    pack_open_unit,
    pack_positive,
    pack_signs,
    packed_width,
    unpack,
)
from trainfit.algorithms.numerics.optimisers import Adam, Sgd, adam_tile, make_optimiser
from trainfit.algorithms.options import OptimizerName
from trainfit.algorithms.tinyfoa.described.mlp.tiles import choose_tiles


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Sgd(0.1, 0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        (Sgd(0.1, 0.0), lambda p: torch.optim.SGD(p, lr=0.1)),
        (Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    ],
)
def test_updates_are_those_of_torch(ours, theirs):
    torch.manual_seed(0)
    mine = torch.randn(37, 29)
    its = mine.clone().requires_grad_()
    reference = theirs([its])
    ours.add("p", mine)
    for _ in range(20):
        gradient = torch.randn(37, 29)
        its.grad = gradient.clone()
        reference.step()
        ours.begin_step()
        ours.apply("p", mine, gradient)
    torch.testing.assert_close(mine, its.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", OptimizerName)
def test_applying_a_product_is_applying_the_gradient(name, momentum):
    torch.manual_seed(0)
    left, right, vector = torch.randn(8, 5), torch.randn(5, 6), torch.randn(5)
    parameters = {}
    for product in (True, False):
        optimiser = make_optimiser(name, 0.1, momentum)
        w, b = torch.ones(8, 6), torch.ones(8)
        optimiser.add("w", w)
        optimiser.add("b", b)
        for _ in range(3):
            optimiser.begin_step()
            if product:
                optimiser.apply_product("w", w, left, right)
                optimiser.apply_product("b", b, left, vector)
            else:
                optimiser.apply("w", w, left @ right)
                optimiser.apply("b", b, left @ vector)
        parameters[product] = (w, b)
    for a, b in zip(parameters[True], parameters[False], strict=True):
        torch.testing.assert_close(a, b)


def test_rows_of_a_matrix_are_updated_like_the_whole():
    torch.manual_seed(0)
    gradient = torch.randn(10, 7)
    whole, parts = torch.ones(10, 7), torch.ones(10, 7)
    for parameter in (whole, parts):
        adam = Adam(0.1)
        adam.add("w", parameter)
        adam.begin_step()
        if parameter is whole:
            adam.apply("w", parameter, gradient)
        else:
            for rows in (slice(0, 4), slice(4, 10)):
                adam.apply_rows("w", parameter, gradient[rows], rows)
    assert torch.equal(whole, parts)


@given(st.integers(0, 10**8))
def test_an_adam_tile_is_a_small_part(elements):
    tile = adam_tile(elements)
    assert 0 <= tile <= min(elements, 16384)
    assert tile <= max(64, -(-elements // 16))


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(1, 20),
    st.sampled_from(
        [
            (pack_signs, lambda t: t >= 0),
            (pack_positive, lambda t: t > 0),
            (pack_open_unit, lambda t: (t > 0) & (t < 1)),
        ]
    ),
)
def test_packed_bits_unpack_to_what_was_asked(height, columns, rows, how):
    pack, expected = how
    values = torch.randn(height, columns).mul_(1.5)
    values[0, 0] = 0.0
    packed = torch.full((height, packed_width(columns)), 255, dtype=torch.uint8)
    pack(values, packed, rows)
    assert torch.equal(unpack(packed, columns), expected(values).float())
    if columns % 8:
        assert int(packed[:, -1].max()) < 2 ** (columns % 8)  # padding is zero


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 200))
def test_counting_bits_is_the_product_of_signs(batch, outputs, inputs):
    h, w = torch.randn(batch, inputs), torch.randn(outputs, inputs)
    packed_h = torch.empty(batch, packed_width(inputs), dtype=torch.uint8)
    packed_w = torch.empty(outputs, packed_width(inputs), dtype=torch.uint8)
    pack_positive(h, packed_h, batch)
    pack_signs(w, packed_w, outputs)
    z = torch.ones(batch, outputs)
    add_binary_product(packed_h, packed_w, z, inputs)
    signs = torch.where(w >= 0, 1.0, -1.0)
    assert torch.equal(z, 1.0 + (h > 0).float() @ signs.T)


@given(
    st.integers(1, 512),
    st.integers(1, 4),
    st.lists(st.integers(1, 300), min_size=2, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_tiles_are_within_their_matrix(batch, slices, widths, fused, compiled):
    model = Mlp("m", (*(width * slices for width in widths), 10))
    active = len(widths) - 2
    for index in range(active + 1):
        tiles = choose_tiles(model, index, active, batch, slices, fused=fused, compiled=compiled)
        height, width = widths[index + 1], widths[index]
        assert 1 <= tiles.weight_rows <= height * slices
        assert 1 <= tiles.gradient_rows <= height
        assert tiles.gradient_rows == height or fused
        assert 4 * (tiles.weight_groups - 1) < width
        assert 4 * (tiles.gradient_groups - 1) < batch
        assert compiled or tiles.weight_groups == tiles.gradient_groups == 0
        assert index == 0 or tiles.weight_groups == 0
        assert index > 0 or tiles.gradient_groups == 0
        for columns in (tiles.columns, tiles.gradient_columns):
            assert columns == width or (columns % 8 == 0 and 0 < columns < width)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="torch fuses no multiply-adds here"
)
@pytest.mark.parametrize("elements", [1, 7, 8, 33, 1000, 4097, 65539])
def test_compiled_adam_has_the_bits_of_the_tiled_one(elements):
    generator = torch.Generator().manual_seed(elements)
    start = torch.randn(elements, generator=generator)
    results = []
    gradients = [torch.randn(elements, generator=generator) * 10.0**-k for k in range(5)]
    gradients[2][::3] = 0.0
    for compiled in (False, True):
        parameter = start.clone()
        adam = Adam(1e-3, compiled=compiled)
        adam.add("p", parameter)
        for gradient in gradients:
            adam.begin_step()
            adam.apply("p", parameter, gradient)
        results.append([parameter, *(state for _, state in adam.states())])
    for tiled, compiled in zip(*results, strict=True):
        assert torch.equal(tiled, compiled)
    assert not torch.equal(results[0][0], start)


def test_compiled_adam_leaves_a_parameter_without_gradient_where_it_is():
    parameter = torch.ones(5)
    adam = Adam(1e-3, compiled=True)
    adam.add("p", parameter)
    adam.begin_step()
    adam.apply("p", parameter, torch.zeros(5))
    assert torch.equal(parameter, torch.ones(5))
