"""A planned arena for a step of one's own: its trace's, and only if that is what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.small_boards import small, with_torch
from tests.unit.sizing.test_own_step import HERE, STEPS, step
from trainfit.bench.sizing.own_step import measure_own_step, predict_own_step
from trainfit.bench.sizing.own_step_arena import joined, with_arena
from trainfit.bench.verdicts.memory import Status, worst
from trainfit.hardware_profiles import Budgets

TRACED = step(arena_bytes=200, evidence="traced")
"""700 B that stay, and 200 B of arena where torch needs 300 B."""


def test_what_was_measured_as_it_was_traced_has_the_arena() -> None:
    found = joined(step(), TRACED)

    assert (found.arena_bytes, found.arena_ram_bytes, found.ram_bytes) == (200, 900, 1_000)
    (board,) = found.verdicts(small(950), Budgets())
    (computer,) = found.verdicts(with_torch(950), Budgets())
    assert (board.status, board.margin, board.evidence) == (Status.TIGHT, 50, "planned")
    assert (computer.status, computer.margin, computer.evidence) == (
        Status.EXCEEDS,
        -50,
        "allocator",
    )
    assert (found.ram_on(small(950)), found.ram_on(with_torch(950))) == (900, 1_000)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"peak_dynamic_bytes": 308}, "measured +8 B beside the trace"),
        (
            {"static_bytes": 690, "peak_dynamic_bytes": 310},
            "static bytes are not those of the trace",
        ),
        ({"deterministic": False, "advice": "measure four"}, "repeats of the step differ"),
    ],
)
def test_another_step_than_was_traced_has_none(changes: dict[str, Any], why: str) -> None:
    found = joined(replace(step(), **changes), TRACED)

    assert (found.arena_bytes, found.no_arena) == (None, why)
    (verdict,) = found.verdicts(small(950), Budgets())
    assert verdict.judged_by != "arena"
    assert f"no arena, so judged by torch's peak: {why}" in verdict.reason


def test_why_a_trace_has_no_arena_is_why_the_measurement_has_none() -> None:
    found = joined(step(), replace(TRACED, arena_bytes=None, no_arena="it keeps what it made"))

    assert found.verdicts(small(5_000), Budgets())[0].reason.endswith(": it keeps what it made")


def test_a_step_is_measured_and_its_arena_planned() -> None:
    # GIVEN the trace of a step with an arena, and its measurement
    traced = predict_own_step(f"{STEPS}:small_net", HERE, plan=True)
    measured = measure_own_step(f"{STEPS}:small_net", HERE)
    assert measured.arena_bytes is None

    # WHEN both are put together
    found = with_arena(measured, HERE)

    # THEN the measurement has the arena, and a board with just enough for it is judged by it
    assert found.arena_bytes == traced.arena_bytes
    assert found.arena_bytes is not None
    assert found.arena_bytes < found.peak_dynamic_bytes
    device = small(found.static_bytes + found.arena_bytes)
    assert worst(found.verdicts(device, Budgets())).margin == 0
    assert worst(traced.verdicts(device, Budgets())).evidence == "planned"


def test_a_step_that_cannot_be_traced_is_judged_by_torchs_peak(tmp_path: Path) -> None:
    (tmp_path / "chosen.py").write_text(
        "import torch\n\n\ndef make():\n    x = torch.rand(8)\n"
        "    def step():\n        return (x[x > 0.5] * 2).sum()\n    return step\n",
        "utf-8",
    )
    measured = replace(step(), target="chosen:make")

    found = with_arena(measured, tmp_path)

    assert found.arena_bytes is None
    assert found.no_arena.startswith("the step cannot be predicted: ")
