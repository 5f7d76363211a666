"""Descent on products with many zeros: the same step as BLAS takes, whatever is skipped."""

from __future__ import annotations

import pytest
import torch

from trainfit.algorithms.numerics import rectified
from trainfit.algorithms.numerics.optimisers import Adam, Sgd

LR = 0.01


def operands(inner, outputs, inputs, share):
    draws = torch.Generator().manual_seed(1)
    left = torch.rand(inner, outputs, generator=draws)
    left *= torch.rand(inner, outputs, generator=draws) < share
    right = torch.randn(inner, inputs, generator=draws)
    return left, right, torch.randn(outputs, inputs, generator=draws)


@pytest.fixture
def kernel_calls(monkeypatch):
    """How often the kernel was called."""
    calls = []
    plain = rectified.threads.call

    def counted(*arguments):
        calls.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(rectified.threads, "call", counted)
    monkeypatch.setattr(rectified.threads, "LEAST", 1 << 20)  # small nets on several threads
    return calls


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(
    ("inner", "outputs", "inputs"),
    [(1, 1, 1), (5, 3, 15), (7, 9, 16), (32, 24, 19), (60, 33, 64), (300, 37, 83), (257, 8, 145)],
)
def test_three_steps_are_those_in_double_precision(momentum, inner, outputs, inputs, kernel_calls):
    """Columns for wide, narrow and single blocks; more rows than are listed at a time."""
    left, right, parameter = operands(inner, outputs, inputs, 0.2)
    left[0, 0] = 0.5
    exact, velocity = parameter.double(), torch.zeros(outputs, inputs, dtype=torch.float64)
    optimiser = Sgd(LR, momentum)
    optimiser.add("w", parameter)
    untouched = left.clone(), right.clone()
    most = rectified.DENSE * left.numel()
    for _ in range(3):
        rectified.apply_rectified(optimiser, "w", parameter, left, right)
        velocity = momentum * velocity + left.T.double() @ right.double()
        exact -= LR * velocity
    torch.testing.assert_close(parameter.double(), exact, rtol=1e-5, atol=1e-6)
    assert torch.equal(left, untouched[0])
    assert torch.equal(right, untouched[1])
    assert len(kernel_calls) == (3 if left.count_nonzero() <= most else 0)
    if momentum:
        state = dict(optimiser.states())["w.momentum"].double()
        torch.testing.assert_close(state, velocity, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
@pytest.mark.parametrize(
    "shape", [(1, 16, 16), (5, 48, 80), (130, 80, 64), (40, 784, 208), (3, 64, 128)]
)
def test_a_product_is_that_in_double_precision(shape, share, bias, kernel_calls):
    """Whole blocks and parts of them; more rows than have masks at a time."""
    rows, inputs, outputs = shape
    h, w, _ = operands(rows, inputs, outputs, share)
    w = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(2))
    b = torch.arange(outputs).float() if bias else None
    z = torch.full((rows, outputs), torch.nan)
    found = rectified.linear_(h, w, b, z)
    exact = h.double() @ w.T.double() + (b.double() if bias else 0.0)
    assert found.data_ptr() == z.data_ptr()
    torch.testing.assert_close(z.double(), exact, rtol=1e-5, atol=1e-5)
    dense = h.count_nonzero() > rectified.DENSE_LINEAR * h.numel()
    assert len(kernel_calls) == (0 if dense else 1)


def test_a_product_on_two_threads_has_the_same_bits(kernel_calls):
    h, _, _ = operands(64, 160, 1, 0.2)
    w = torch.randn(528, 160, generator=torch.Generator().manual_seed(2))
    before, found = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            found.append(rectified.linear_(h, w, None, torch.empty(64, 528)))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*found)
    assert [len(call[1]) for call in kernel_calls] == [1, 2]


def test_a_number_that_is_none_is_not_skipped():
    h = torch.zeros(2, 16)
    h[1, 3] = torch.nan
    z = rectified.linear_(h, torch.ones(32, 16), None, torch.empty(2, 32))
    assert torch.equal(z[0], torch.zeros(32))
    assert z[1].isnan().all()


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 32), (32, 24)])
def test_widths_that_are_no_multiple_of_a_vector_go_the_usual_way(inputs, outputs, kernel_calls):
    h, _, _ = operands(5, inputs, 1, 0.1)
    w, b = torch.randn(outputs, inputs), torch.randn(outputs)
    z = rectified.linear_(h, w, b, torch.empty(5, outputs))
    assert torch.equal(z, torch.nn.functional.linear(h, w, b))
    assert not kernel_calls


@pytest.mark.parametrize("count", [1, 2])
def test_threads_give_the_same_bits(count, kernel_calls):
    left, right, parameter = operands(64, 301, 145, 0.1)
    before, found = torch.get_num_threads(), []
    for threads in (1, count):
        torch.set_num_threads(threads)
        try:
            mine, optimiser = parameter.clone(), Sgd(LR, 0.9)
            optimiser.add("w", mine)
            rectified.apply_rectified(optimiser, "w", mine, left, right)
        finally:
            torch.set_num_threads(before)
        found.append(mine)
    assert torch.equal(*found)
    assert [len(call[1]) for call in kernel_calls] == [1, count]


def test_rows_without_an_entry_only_lose_momentum():
    _, right, parameter = operands(10, 6, 70, 0.5)
    optimiser = Sgd(LR, 0.9)
    optimiser.add("w", parameter)
    velocity = dict(optimiser.states())["w.momentum"]
    velocity.fill_(2.0)
    before = parameter.clone()
    rectified.apply_rectified(optimiser, "w", parameter, torch.zeros(10, 6), right)
    assert torch.equal(velocity, torch.full_like(velocity, 2.0 * 0.9))
    torch.testing.assert_close(parameter, before - LR * 1.8)


@pytest.mark.parametrize("why", ["dense", "adam", "strides"])
def test_what_the_kernel_is_not_for_goes_the_usual_way(why, kernel_calls):
    left, right, parameter = operands(12, 20, 30, 0.9 if why == "dense" else 0.1)
    if why == "strides":
        right = right.T.contiguous().T
    optimisers = [Adam(LR) if why == "adam" else Sgd(LR, 0.9) for _ in range(2)]
    results = [parameter.clone(), parameter.clone()]
    for optimiser, mine in zip(optimisers, results, strict=True):
        optimiser.add("w", mine)
        optimiser.begin_step()
    optimisers[0].apply_product("w", results[0], left.T, right)
    rectified.apply_rectified(optimisers[1], "w", results[1], left, right)
    assert torch.equal(*results)
    assert not torch.equal(results[0], parameter)
    assert not kernel_calls
