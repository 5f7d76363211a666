"""The planned arena of a stranger's step, and of which steps there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import trainfit
from tests.builders.strangers import STEPS

IN_FULL = [name for name in STEPS if name != "leaking"]


@pytest.mark.parametrize("name", IN_FULL)
def test_an_arena_needs_no_more_than_torch(name: str) -> None:
    found = trainfit.predict_step(STEPS[name]())

    assert found.no_arena == ""
    assert found.arena_bytes is not None
    assert 0 < found.arena_bytes <= found.peak_dynamic_bytes


def replacing() -> Callable[[], Any]:
    """Reads what the call before it made, and puts another in its place."""
    w, x = torch.rand(64, 64), torch.rand(16, 64)
    kept = [torch.zeros(16, 64)]

    def step() -> None:
        kept[0] = torch.tanh(x @ w + kept[0])

    return step


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (STEPS["leaking"], "the step leaves bytes behind"),
        (replacing, "the step replaces tensors that it keeps from call to call"),
    ],
)
def test_what_lives_between_calls_is_in_no_arena(
    make: Callable[[], Callable[[], Any]], why: str
) -> None:
    found = trainfit.predict_step(make())

    assert (found.arena_bytes, found.no_arena) == (None, why)


def test_a_gradient_that_is_kept_to_the_end_has_to_exist() -> None:
    kept, dropped = (
        trainfit.predict_step(STEPS[f"cleared at the {where}"]()) for where in ("start", "end")
    )

    bias = 10 * 4  # kept to the end it has to exist; dropped, its sum goes into the parameter
    assert dropped.arena_bytes is not None
    assert kept.arena_bytes == dropped.arena_bytes + bias
