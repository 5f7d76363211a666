"""Compiled kernels on packed bits: the numbers of the matrices they stand for, in fixed order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainfit.algorithms import build_algorithm
from trainfit.algorithms.models import Mlp
from trainfit.algorithms.numerics.binary import (
    bit_products,
    lookups,
    pack_columns,
    packing,
)
from trainfit.algorithms.numerics.binary.lookups import (
    MOST,
    Workspace,
    choose_groups,
    make_workspace,
    work_bytes,
)
from trainfit.algorithms.numerics.binary.packing import packed_width
from trainfit.algorithms.tinyfoa.described.mlp.tiles import choose_tiles
from trainfit.bench.trace.prediction import predict


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def packed(rows: int, columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random bits, packed and as zeros and ones."""
    bits = torch.randint(0, 2, (rows, columns), generator=draws(seed)).float()
    out = torch.empty(rows, packed_width(columns), dtype=torch.uint8)
    packing.pack_positive(bits, out, rows)
    return out, bits


# 64 bytes are 512 bits: shorter rows, whole blocks, and rests of a byte, a word and nearly a block
WIDTHS = [1, 9, 64, 500, 504, 505, 512, 513, 520, 576, 1000, 1023, 1024, 1100]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("outputs", [1, 7, 8, 9, 24])
def test_population_counts_are_exact_at_every_width(columns, outputs):
    h_packed, h = packed(5, columns, 1)
    w_packed, w = packed(outputs, columns, 2)
    z = torch.randint(-99, 99, (5, outputs), generator=draws(3)).float()
    binary, signed = z.clone(), z.clone()
    bit_products.add_binary_product(h_packed, w_packed, binary, columns)
    bit_products.add_sign_product(h_packed, w_packed, signed, columns)
    signs = 2 * w - 1
    assert torch.equal(binary, z + h @ signs.T)
    assert torch.equal(signed, z + (2 * h - 1) @ signs.T)


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 40))


def summed_by_four(x_BI: torch.Tensor, w_OI: torch.Tensor, out_BO: torch.Tensor) -> torch.Tensor:
    """``out + x w^T`` with plain operators, in the kernels' order: pairs, fours, one by one."""
    x_BI = torch.nn.functional.pad(x_BI, (0, -x_BI.shape[1] % 4))
    w_OI = torch.nn.functional.pad(w_OI, (0, -w_OI.shape[1] % 4))
    for k in range(0, x_BI.shape[1], 4):
        t = [x_BI[:, None, k + i] * w_OI[None, :, k + i] for i in range(4)]
        out_BO = out_BO + ((t[0] + t[1]) + (t[2] + t[3]))
    return out_BO


@settings(deadline=None, max_examples=40)
@given(SIZES)
def test_looked_up_products_with_signs_are_summed_in_one_order(sizes):
    batch, inputs, outputs = sizes
    x = torch.randn(batch, inputs + 3, generator=draws(sum(sizes)))
    w_packed, w = packed(outputs, inputs, outputs)
    start = torch.randn(batch, outputs)
    expected = summed_by_four(x[:, 3:], 2 * w - 1, start)
    for groups in (1, 2, MOST):
        z = start.clone()
        work = make_workspace(groups, outputs)
        lookups.add_signed(x, slice(3, 3 + inputs), w_packed, z, work)
        assert torch.equal(z, expected)


@settings(deadline=None, max_examples=40)
@given(SIZES)
def test_looked_up_gradients_are_summed_in_one_order(sizes):
    batch, width, outputs = sizes
    dz = torch.randn(batch, outputs + 2, generator=draws(sum(sizes)))
    h_packed, h = packed(batch, width, outputs)
    expected = summed_by_four(dz[:, 2:].T, h.T, torch.zeros(outputs, width))
    for groups in (1, 2, MOST):
        dw = torch.full((outputs, width), float("nan"))
        lookups.bit_gradient(dz, 2, h_packed, dw, make_workspace(groups, width))
        assert torch.equal(dw, expected)


def test_a_strided_batch_is_read_where_it_lies():
    x = torch.randn(30, 20, generator=draws(0))
    w_packed, w = packed(8, 30, 0)
    z = torch.zeros(20, 8)
    lookups.add_signed(x.T, slice(0, 30), w_packed, z, make_workspace(2, 8))
    torch.testing.assert_close(z, x.T @ (2 * w - 1).T, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 70), st.integers(0, 5))
def test_compiled_packing_gives_the_bits_of_packed_comparisons(rows, columns, first):
    values = torch.randn(rows, first + columns + 2, generator=draws(rows * columns))
    special = torch.tensor([0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), 1e-42])
    values.view(-1)[: len(special)] = special[: values.numel()]
    part = slice(first, first + columns)
    for form in ("pack_signs", "pack_positive", "pack_open_unit"):
        expected = torch.full((rows, packed_width(columns)), 255, dtype=torch.uint8)
        found = expected.clone()
        getattr(packing, form)(values[:, part], expected, rows)
        getattr(pack_columns, form)(values, part, found)
        assert torch.equal(found, expected), form


@given(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(1, 10**4))
def test_a_workspace_fits_its_budget(budget, addends, columns):
    groups = choose_groups(budget, addends, columns)
    assert 0 <= groups <= MOST
    assert work_bytes(groups, columns) <= budget
    assert 4 * (groups - 1) < addends
    if groups and columns < 100:
        work = make_workspace(groups, columns)
        assert isinstance(work, Workspace)
        assert work.tables.nbytes + work.index.nbytes == work_bytes(groups, columns)


NETS = [("mlp-784-500-500-10", 20), ("mlp-64-128-128-10", 32), ("mlp-64-512-512-10", 4)]


@pytest.mark.parametrize(("model", "rows"), NETS)
@pytest.mark.parametrize("update", ["whole", "fused"])
@pytest.mark.parametrize("features", ["recomputed", "cached"])
def test_tables_need_no_more_than_tiles(model, rows, update, features):
    for stage in (0, 1):
        peaks = {}
        for kernel in ("popcount", "tiles"):
            options = {"kernel": kernel, "update": update, "features": features}
            algorithm = build_algorithm("tinyfoa", model, options)
            algorithm.enter_stage(stage)
            peaks[kernel] = predict(algorithm, rows).peak_bytes
        assert peaks["popcount"] <= peaks["tiles"]


def after(options, steps=3, model="mlp-784-500-500-10", rows=100, levels=None):
    """What a stage on bits holds after some steps; ``levels`` of an input, or any number."""
    algorithm = build_algorithm("tinyfoa", model, options)
    algorithm.enter_stage(1)
    for seed in range(steps):
        x = torch.rand(rows, 784, generator=draws(seed))
        if levels:
            x = (x * levels).round() / levels
        y = torch.randint(10, (rows,), generator=draws(seed))
        algorithm.step(x, y)
    return {held.name: held.tensor for held in algorithm.static_tensors()}


def test_a_gradient_in_parts_has_the_bits_of_the_whole_one():
    """Looked up sums do not depend on how many rows, or groups of samples, are in the workspace."""
    net = Mlp.parse("mlp-784-500-500-10")
    for fused in (False, True):
        tiles = choose_tiles(net, 1, 1, 100, 2, fused=fused, compiled=True)
        assert tiles.gradient_groups > 0
        assert (tiles.gradient_rows < 250) is fused
    whole, fused = after({}), after({"update": "fused"})
    assert all(torch.equal(tensor, fused[name]) for name, tensor in whole.items())


def test_either_kernel_gives_the_same_gradients_to_rounding():
    """``kernel=tiles`` leaves the order of float sums to torch's products.

    Sums of 64ths are exact in any order, so no bit of the layer below differs, on any processor.
    """
    compiled, tiles = (after(each, steps=1, levels=64) for each in ({}, {"kernel": "tiles"}))
    for name in ("w.mean", "b.mean"):
        apart = (compiled[name] - tiles[name]).norm() / tiles[name].norm()
        assert apart < 1e-5, name
    assert compiled["w.mean"].abs().sum() > 0
