"""Random small programs: what the trace predicts is what the allocator did."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.trace.test_recorder import traced
from trainfit.algorithms.phases import phase
from trainfit.bench.profiler.fold import Fold
from trainfit.bench.profiler.step import profile_step

Tensors = list[torch.Tensor]

SIZE = 24
"""Rows and columns of every tensor here, so that each fits to each."""

OPERATIONS: list[Callable[[Tensors], torch.Tensor]] = [
    lambda held: held[0] @ held[-1],
    lambda held: held[0] * 0.5,
    lambda held: held[0] + held[-1],
    lambda held: held[0].relu(),
    lambda held: held[0] > 0.25,
    lambda held: held[0] / 3,
    lambda held: held[-1].mul_(0.5),
    lambda held: held[-1].sub_(held[0] * 2.0),
    lambda held: held[0].t(),
    lambda held: held[0].sum(0) + held[-1],
    lambda held: held[0].mean(1, keepdim=True) * held[-1],
    lambda held: held[0].clamp(min=0.0),
    lambda held: torch.addmm(held[0], held[0], held[-1]),
    lambda held: held[0].abs(),
    lambda held: held[0].amax(1)[:, None] - held[-1],
    lambda held: held[0].clone(),
    lambda held: torch.zeros(SIZE, SIZE),
    lambda held: held[0].softmax(1),
    lambda held: held[0].log_softmax(1),
    lambda held: held[0][: SIZE // 2].repeat(2, 1),
]

STEPS = st.tuples(
    st.integers(0, len(OPERATIONS) - 1),
    st.sampled_from(["forward", "gradient", "update"]),
    st.integers(0, 3),  # how many of the oldest tensors are dropped afterwards
)


def run(program: list[tuple[int, str, int]], first: torch.Tensor) -> None:
    held = [first * 1.0]
    for number, name, drops in program:
        with phase(name):
            made = OPERATIONS[number](held)
            held.append(made.float() if made.dtype is torch.bool else made)
            del made
        for _ in range(min(drops, len(held) - 1)):
            del held[0]


def by_phase(view: Fold) -> dict[str, tuple[int, dict[str, int]]]:
    return {name: (each.peak_bytes, each.categories) for name, each in view.phases.items()}


@given(st.lists(STEPS, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_random_programs(program: list[tuple[int, str, int]]) -> None:
    real, absent = torch.ones(SIZE, SIZE), torch.empty(SIZE, SIZE, device="meta")
    with torch.no_grad():
        measured = profile_step(lambda: run(program, real), warmup=1, repeats=1)
        predicted = traced(lambda: run(program, absent), first=absent).torch_view
    assert by_phase(predicted) == by_phase(measured)


def train(weights: Tensors, x: torch.Tensor, kinds: list[str]) -> None:
    with phase("forward"):
        h = x
        for weight, kind in zip(weights, kinds, strict=True):
            z = h @ weight
            h = getattr(torch, kind)(z)
            del z
        loss = h.square().mean()
        del h
    with phase("gradient"):
        loss.backward()  # type: ignore[no-untyped-call]
    for weight in weights:
        weight.grad = None


@given(
    st.lists(st.sampled_from(["relu", "tanh", "sigmoid", "abs"]), min_size=1, max_size=4),
    st.integers(1, 40),
)
@settings(max_examples=25, deadline=None)
def test_random_nets_under_autograd(kinds: list[str], rows: int) -> None:
    real = [torch.ones(SIZE, SIZE, requires_grad=True) for _ in kinds]
    x = torch.ones(rows, SIZE)
    measured = profile_step(lambda: train(real, x, kinds), warmup=1, repeats=1)
    absent = [torch.empty(SIZE, SIZE, device="meta", requires_grad=True) for _ in kinds]
    empty = torch.empty(rows, SIZE, device="meta")
    found = {f"w{number}": weight for number, weight in enumerate(absent)}
    predicted = traced(lambda: train(absent, empty, kinds), x=empty, **found).torch_view
    assert by_phase(predicted) == by_phase(measured)
