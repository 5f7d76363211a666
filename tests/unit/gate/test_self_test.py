"""The gate tried on itself: what is planted is seen, and a blind gate is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.builders.profiles import step_profile
from trainfit.bench.gate.self_test import self_test
from trainfit.bench.profiler import StepProfile, profile_step


def test_growth_shrink_and_leak_are_seen_to_the_byte() -> None:
    net = torch.nn.Linear(8, 4)

    def step() -> None:
        net(torch.ones(2, 8)).sum().backward()
        net.zero_grad()

    def profile(each: Callable[[], Any]) -> StepProfile:
        return profile_step(each, warmup=1, repeats=1)

    found = self_test(step, profile)
    assert [(each.what, each.bytes, each.saw, each.seen) for each in found] == [
        ("growth", 1_024, 1_024, True),
        ("shrink", -1_024, -1_024, True),
        ("leak", 1_024, 1_024, True),
    ]
    assert found[0].text.startswith("self-test: growth: planted +1,024 B, saw +1,024 B: new: empty")


def test_a_gate_that_sees_nothing_fails() -> None:
    found = self_test(lambda: None, lambda step: step_profile())
    assert [(each.saw, each.seen) for each in found] == [(None, False)] * 3
    assert found[2].text == (
        "self-test: FAULT: leak: planted +1,024 B, saw nothing, and the gate passes"
    )


def test_a_gate_that_sees_another_size_fails() -> None:
    sizes = iter([3_000, 4_000, 3_000])

    def profile(step: Callable[[], Any]) -> StepProfile:
        return step_profile(static_bytes=next(sizes))

    growth, shrink, leak = self_test(lambda: None, profile)
    assert (growth.saw, growth.seen) == (1_000, False)
    assert (shrink.saw, shrink.seen) == (-1_000, False)
    assert "FAULT: growth: planted +1,024 B, saw +1,000 B" in growth.text
    assert not leak.seen
