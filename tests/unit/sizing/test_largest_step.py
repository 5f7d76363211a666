"""The largest batch of a step of one's own: found by bisection, its function has to take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainfit.bench.sizing.largest_step import CEILING, search
from trainfit.bench.sizing.own_step import OwnStep, OwnStepError, predict_own_step

MODULE = """
import torch

def make_step(batch_size=4):
    layer, x = torch.nn.Linear(8, 8), torch.rand(batch_size, 8)
    def step():
        layer(x).sum().backward()
        layer.zero_grad()
    return step

def without():
    return make_step()
"""


def needing(size: int) -> OwnStep:
    return OwnStep(
        "a:b", 100, 10 * size, "forward", 0, 1, deterministic=True, repeats=1, attribution=""
    )


@pytest.mark.parametrize("limit", [110, 119, 120, 150, 1_000_000])
def test_the_largest_that_fits_is_found(limit: int) -> None:
    found = search(needing, lambda step: step.ram_bytes <= limit)
    assert found.size == (limit - 100) // 10
    assert found.step.ram_bytes <= limit
    assert found.above is not None
    assert found.above.ram_bytes > limit


def test_none_fits_and_all_fit() -> None:
    assert search(needing, lambda _: False).size is None
    assert search(needing, lambda _: True).size == CEILING


def test_a_step_is_traced_at_batch_after_batch(tmp_path: Path) -> None:
    (tmp_path / "sized.py").write_text(MODULE, "utf-8")
    limit = predict_own_step("sized:make_step", tmp_path, batch_size=5).ram_bytes
    found = search(
        lambda size: predict_own_step("sized:make_step", tmp_path, batch_size=size),
        lambda step: step.ram_bytes <= limit,
    )
    assert found.size == 5
    assert found.step.ram_bytes == limit


def test_a_function_without_a_batch_is_told_what_to_take(tmp_path: Path) -> None:
    (tmp_path / "unsized.py").write_text(MODULE, "utf-8")
    with pytest.raises(OwnStepError, match=r"def without\(batch_size=32\)"):
        predict_own_step("unsized:without", tmp_path, batch_size=2)
