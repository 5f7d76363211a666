"""Random small programs: whatever their device view shares or leaves out, what is read is there.

The programs are views, operators in place and with ``out=``, products, sums, conversions, masks and
loops over tiles, on tensors that are kept, dropped and overwritten at random.
"""

from __future__ import annotations

import random

import pytest
import torch

from tests.unit.trace.device.simulation import carry_out
from tests.unit.trace.test_recorder import traced
from trainfit.algorithms import tiling
from trainfit.algorithms.tiling import in_tiles
from trainfit.bench.trace.device import device_view
from trainfit.bench.trace.trace import Trace

SIDE = 8


def step_of(draw: random.Random, held: list[torch.Tensor], weights: list[torch.Tensor]) -> None:
    """One random operator on what is held; its result is held, or takes the place of another."""

    def one() -> torch.Tensor:
        return draw.choice(held + weights)

    def own() -> torch.Tensor:
        return draw.choice(held)

    half = slice(0, SIDE // 2) if draw.random() < 0.5 else slice(SIDE // 2, SIDE)
    made = draw.choice(
        [
            lambda: one() @ one(),
            lambda: one() + one(),
            lambda: one().exp() * one().T,
            lambda: one() - one().sum(1, keepdim=True),
            lambda: one() * one().sum(0),
            lambda: one().gt(0).to(torch.float32),
            lambda: torch.where(one() > 0, one(), one()),
            lambda: one().to(torch.int8).float() * 0.5,
            lambda: torch.softmax(one(), 1),
            lambda: torch.zeros(SIDE, SIDE).addmm_(one(), one()),
            lambda: torch.cumsum(one(), 0),
            lambda: own().mul_(one()),
            lambda: own().addmm_(one(), one()),
            lambda: own().copy_(one()),
            lambda: own().zero_(),
            lambda: torch.mm(one(), one(), out=torch.empty(SIDE, SIDE)),
            lambda: torch.add(one(), one(), out=own()),
            lambda: (own()[half].copy_(one()[half]), own())[1],
            lambda: (own()[half].tanh_(), own())[1],
            lambda: (own()[:, half].mul_(2.0), own())[1],
            lambda: weights[0].add_(one()),
            lambda: tiles(own(), one()),
            lambda: added_up(own(), one(), one().exp() * 0.5),
        ]
    )()
    if made.shape != (SIDE, SIDE) or any(made is each for each in weights):
        return
    if len(held) > 4 or draw.random() < 0.3:
        held[draw.randrange(len(held))] = made
    else:
        held.append(made)


def tiles(target: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    result = torch.empty(SIDE, SIDE)
    for rows in in_tiles(SIDE, 2):
        torch.mm(target[rows], other, out=result[rows])
    return result


def added_up(target: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    for _ in in_tiles(SIDE, 2, apart=True):
        target.add_(left @ right).mul_(right)
    return target


def random_trace(seed: int) -> Trace:
    draw = random.Random(seed)
    weights = [torch.empty(SIDE, SIDE, device="meta") for _ in range(2)]

    def program() -> None:
        held = [torch.mm(*weights) for _ in range(2)]
        for _ in range(draw.randrange(3, 25)):
            step_of(draw, held, weights)
        for each in held:
            weights[1].add_(each @ each)

    return traced(program, w=weights[0], v=weights[1])


@pytest.mark.parametrize("seed", range(60))
def test_all_that_is_read_is_there(seed: int) -> None:
    trace = random_trace(seed)
    view = device_view(trace)
    assert carry_out(trace) > 0
    assert view.peak_bytes <= trace.torch_view.peak_dynamic_bytes
    assert sum(block.bytes for block in view.at_peak) == view.peak_bytes


@pytest.mark.parametrize("seed", range(30))
def test_a_loop_shown_in_part_needs_no_less_than_the_whole_loop(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_part = device_view(random_trace(seed)).peak_bytes
    monkeypatch.setattr(tiling, "Repeating", type("Nobody", (), {}))
    assert in_part >= device_view(random_trace(seed)).peak_bytes
