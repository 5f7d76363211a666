"""INT8: rounding, scales, products; both kernels give the same bits, and memory is as planned."""

from __future__ import annotations

import itertools

import numba
import pytest
import torch

from trainfit.algorithms.numerics.int8.blocks import GROUP, SPREAD_ROWS
from trainfit.algorithms.numerics.int8.byte_code import BYTES, has_byte_dots
from trainfit.algorithms.numerics.int8.products import (
    int8_grad_input,
    int8_grad_weight,
    int8_linear,
)
from trainfit.algorithms.numerics.int8.quantise import (
    draw_seed,
    nth_seed,
    quantise,
)
from trainfit.algorithms.numerics.int8.vector_code import DOT_COLUMNS, DOT_ROWS, LANES
from trainfit.algorithms.options import Int8Kernel, Rounding
from trainfit.algorithms.phases import observing, phase
from trainfit.bench.profiler import profile_step
from trainfit.bench.trace.recorder import Recorder

KERNELS = list(Int8Kernel)
SHAPES = [(1, 1), (3, 5), (17, 33), (64, 100), (40, 1000), (2, 20000)]


def random_matrix(rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator)


def expanded(scale, axis):
    return scale[:, None] if axis == 0 else scale


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_nearest_is_within_half_a_step_and_uses_the_whole_range(axis, kernel):
    t = random_matrix(17, 33)
    t[3] = 0.0
    q, scale = quantise(t, rounding=Rounding.NEAREST, axis=axis, kernel=kernel)
    assert q.dtype is torch.int8
    assert scale.shape == {None: (1,), 0: (17,), 1: (33,)}[axis]
    s = expanded(scale, axis)
    assert ((s * q - t).abs() <= 0.5001 * s).all()
    magnitude = t.abs().amax({None: (0, 1), 0: 1, 1: 0}[axis])
    torch.testing.assert_close(scale, magnitude.view(-1) / 127)
    extreme = q.to(torch.int32).abs().amax({None: (0, 1), 0: 1, 1: 0}[axis]).view(-1)
    assert torch.equal(extreme, torch.where(magnitude.view(-1) > 0, 127, 0).to(torch.int32))
    assert not q[3].any()


def test_halves_go_to_the_even_neighbour_and_what_is_beyond_the_clip_is_clipped():
    t = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.4, 300.0, -300.0])
    for kernel in KERNELS:
        q, scale = quantise(t, rounding=Rounding.NEAREST, clip=127.0, kernel=kernel)
        assert scale.tolist() == [1.0]
        assert q.tolist() == [0, 2, 2, 0, -2, 126, 127, 127, -127]


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("shape", SHAPES)
def test_both_kernels_round_to_the_same_bits(shape, rounding, axis):
    t = random_matrix(*shape)
    seed = 0xFEDCBA9876543210
    found = [
        quantise(t, rounding=rounding, seed=seed, axis=axis, kernel=kernel) for kernel in KERNELS
    ]
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_stochastic_rounding_is_right_on_average_and_leaves_integers_alone():
    fractions = torch.linspace(-127, 127, 1017)  # steps of a quarter
    t = fractions.repeat(400, 1)
    q, _ = quantise(t, rounding=Rounding.STOCHASTIC, clip=127.0, seed=3)
    off = q.double().mean(0) - fractions
    assert off.abs().max() < 5 * 0.5 / 400**0.5
    assert abs(off.mean()) < 5 * 0.5 / (400 * 1017) ** 0.5
    assert torch.equal(q.float().sub(t).abs().ceil(), (t != t.round()).float())


def test_random_numbers_depend_on_the_seed_and_look_independent():
    t = torch.full((1000, 1000), 0.5)

    def drawn(seed):
        q, _ = quantise(t, rounding=Rounding.STOCHASTIC, clip=127.0, seed=seed)
        return q.double()

    first = drawn(nth_seed(1, 0))
    assert torch.equal(first, drawn(nth_seed(1, 0)))
    for other in (nth_seed(1, 1), nth_seed(2, 0), nth_seed(1, 0) ^ (1 << 40)):
        assert abs(((first - 0.5) * (drawn(other) - 0.5)).mean()) < 5 * 0.25 / 1000
    for shift in (1, 2, 8, 1000):
        moved = first.view(-1).roll(shift).view(1000, 1000)
        assert abs(((first - 0.5) * (moved - 0.5)).mean()) < 5 * 0.25 / 1000


def test_seeds_come_from_the_generator():
    seeds = [draw_seed(torch.Generator().manual_seed(n)) for n in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]


def random_int8(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    full = torch.randint(-127, 128, (rows, columns), dtype=torch.int8, generator=generator)
    full.view(-1)[: min(7, full.numel())] = -127
    return full


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"),
    [
        (1, 1, 1),
        (2, 3, 5),
        (7, 16, 9),
        (12, 24, 16),
        (33, 65, 31),
        (5, 1100, 130),
        (70, 40, 4),
        (8, 20, 3),
    ],
)
def test_products_are_exact(batch, inputs, outputs, kernel):
    h, w, d = (
        random_int8(*shape, seed)
        for seed, shape in enumerate([(batch, inputs), (outputs, inputs), (batch, outputs)])
    )
    wide_h, wide_w, wide_d = (t.to(torch.int64) for t in (h, w, d))
    for found, right in (
        (int8_linear(h, w, kernel=kernel), wide_h @ wide_w.T),
        (int8_grad_input(d, w, kernel=kernel), wide_d @ wide_w),
        (int8_grad_weight(d, h, kernel=kernel), wide_d.T @ wide_h),
    ):
        assert found.dtype is torch.int32
        assert torch.equal(found.to(torch.int64), right)


def around(*borders):
    """Whole blocks, and one less and one more."""
    return sorted({each + off for each in (1, *borders) for off in (-1, 0, 1)} - {0})


@pytest.mark.parametrize("inner", around(LANES, 2 * LANES, 4 * LANES))
def test_tails_of_blocks_are_summed_once_and_in_full(inner):
    """Vector code works on whole blocks; every remainder of rows and columns beside them."""
    rows = around(DOT_ROWS, GROUP, SPREAD_ROWS, 2 * GROUP)
    columns = around(DOT_COLUMNS, LANES, 2 * LANES)
    for m, n in itertools.product(rows, columns):
        a, b = random_int8(m, inner, seed=m), random_int8(n, inner, seed=n)
        right = a.long() @ b.long().T
        for kernel in KERNELS:
            products = (
                int8_linear(a, b, kernel=kernel),
                int8_grad_input(a, b.T.contiguous(), kernel=kernel),
                int8_grad_weight(a.T.contiguous(), b.T.contiguous(), kernel=kernel),
            )
            for found in products:
                assert found.dtype is torch.int32
                assert torch.equal(found.long(), right), (m, inner, n, kernel)


@pytest.mark.parametrize("inner", [1, 2, 3, 4, 5, *around(BYTES, 2 * BYTES), 2 * BYTES + 2])
def test_whole_registers_of_bytes_are_summed_once_and_in_full(inner):
    """Processors without the dot product of four bytes take the blocks tested above."""
    for m, n in itertools.product((3, 4, 5, 8, 13), around(BYTES, 2 * BYTES)):
        a, b = random_int8(m, inner, seed=m), random_int8(n, inner, seed=n)
        right = a.long() @ b.long().T
        for found in (
            int8_linear(a, b),
            int8_grad_input(a, b.T.contiguous()),
            int8_grad_weight(a.T.contiguous(), b.T.contiguous()),
        ):
            assert torch.equal(found.long(), right), (m, inner, n)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_are_exact(sign):
    """Also -128, which our own rounding never gives: an operand is made unsigned and back."""
    h = torch.full((4, 70000), -127, dtype=torch.int8)
    least = torch.full((64, 70000), -128, dtype=torch.int8)
    for kernel in KERNELS:
        assert (int8_linear(h, sign * h, kernel=kernel) == sign * 127 * 127 * 70000).all()
        assert (int8_linear(sign * h, least, kernel=kernel) == sign * 127 * 128 * 70000).all()
        spread = int8_grad_input(sign * h, least.T.contiguous(), kernel=kernel)
        assert (spread == sign * 127 * 128 * 70000).all()


@pytest.mark.parametrize(
    ("chosen", "right"),
    [
        ("+avx512f,+avx512bw,+avx512vl,+avx512vnni,+sse2", True),
        ("+avx512f,+avx512bw,+avx512vl,-avx512vnni", False),
        ("+avx2,+avxvnni", False),
        ("", False),
    ],
)
def test_the_features_that_numba_is_told_to_use_decide(monkeypatch, chosen, right):
    monkeypatch.setattr(numba.config, "CPU_FEATURES", chosen)

    assert has_byte_dots() is right


# ---- memory ---------------------------------------------------------------------------------


def as_traced(make):
    """A step on data needs what the trace of the same step on shapes says, phase by phase.

    Args:
        make: Gives the step, on the tensors of a device.
    """
    profile = profile_step(make("cpu"), warmup=1, repeats=1)
    recorder, step = Recorder(), make("meta")
    with torch.device("meta"), observing(recorder), recorder:
        recorder.begin()
        step()
    view = recorder.finish().torch_view
    measured, traced = (
        {name: (p.peak_bytes, p.categories) for name, p in each.phases.items()}
        for each in (profile, view)
    )
    assert measured == traced


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("clip", [None, 2.0])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("shape", [(12, 24), (40, 1000)])
def test_quantising_needs_what_is_traced(shape, axis, clip, rounding, kernel):
    generator = torch.Generator()

    def make(device):
        t = random_matrix(*shape).to(device)

        def step():
            with phase("forward"):
                seed = draw_seed(generator)
                quantise(t, rounding=rounding, seed=seed, clip=clip, axis=axis, kernel=kernel)

        return step

    as_traced(make)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(12, 24, 16), (33, 1000, 130)])
def test_products_need_what_is_traced(batch, inputs, outputs, kernel):
    shapes = [(batch, inputs), (outputs, inputs), (batch, outputs)]

    def make(device):
        h, w, d = (random_int8(*shape, seed).to(device) for seed, shape in enumerate(shapes))

        def step():
            with phase("forward"):
                int8_linear(h, w, kernel=kernel)
            with phase("gradient"):
                int8_grad_input(d, w, kernel=kernel)
            with phase("update"):
                int8_grad_weight(d, h, kernel=kernel)

        return step

    as_traced(make)
