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
