"""Which RAM a device judges: a planned arena where it runs no torch, torch's peak otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.costs import mcu, needs, sbc
from tests.builders.runs import memory, record
from trainfit.bench.frames.judged import VERDICTS, verdict_rows
from trainfit.bench.records.schema import Bounds, Evidence, Memory, Record, Residual
from trainfit.bench.verdicts.judge import ResourceDemand, amounts, judge_all
from trainfit.bench.verdicts.judges import Judges
from trainfit.bench.verdicts.memory import Status, Verdict, judge
from trainfit.bench.verdicts.ram import PlannedRam
from trainfit.hardware_profiles import Allocator, Budgets, Device, device_names, load_device

USABLE = 100_000
"""Bytes of RAM of both: a microcontroller, and a board that runs torch."""
MCU, SBC = mcu(), sbc()


def measured(static: int, peak: int, arena: int | None, **changes: Any) -> Memory:
    """What a trace predicted to the byte, unless something is changed."""
    return memory(static, peak, peak, arena_bytes=arena, **changes)


def ram(found: Memory, device: Device, limits: Budgets | None = None) -> Verdict:
    demand = ResourceDemand.of(record(memory=found), needs().model)
    return judge_all(demand, device, limits)[0]


def test_every_microcontroller_plans_and_every_computer_runs_torch() -> None:
    of_kind = {
        kind: {load_device(n).allocator for n in device_names() if load_device(n).kind == kind}
        for kind in ("mcu", "sbc")
    }

    assert of_kind == {"mcu": {Allocator.ARENA}, "sbc": {Allocator.TORCH}}


def test_an_arena_that_fits_fits_where_torchs_peak_does_not() -> None:
    found = measured(60_000, 50_000, 30_000)

    board, computer = ram(found, MCU), ram(found, SBC)

    assert (board.status, board.margin) == (Status.FITS, USABLE - 90_000)
    assert (board.evidence, board.judged_by) == (Evidence.PLANNED, Allocator.ARENA)
    assert board.reason.startswith("needs 87.9 KiB (58.6 KiB static + 29.3 KiB planned arena) of ")
    assert (computer.status, computer.margin) == (Status.EXCEEDS, USABLE - 110_000)
    assert (computer.evidence, computer.judged_by) == (Evidence.ALLOCATOR, Allocator.TORCH)
    assert computer.reason.startswith("needs 107.4 KiB (58.6 KiB static + 48.8 KiB peak dynamic)")
    assert "arena" not in computer.reason


def test_an_arena_with_gaps_may_exceed_where_torchs_peak_fits() -> None:
    found = measured(60_000, 30_000, 50_000)

    assert (ram(found, MCU).status, ram(found, SBC).status) == (Status.EXCEEDS, Status.FITS)


def test_to_the_byte() -> None:
    assert ram(measured(60_000, 1, 40_000), MCU).margin == 0
    assert ram(measured(60_000, 1, 40_001), MCU).margin == -1


DOUBTS: dict[str, tuple[dict[str, Any], str]] = {
    "an older record": ({"arena_bytes": None}, "the record has none"),
    "a step that cannot be traced": (
        {"arena_bytes": None, "not_predicted": "it reads data"},
        "it reads data",
    ),
    "a residual": (
        {"residual": Residual(unexplained_bytes=8, left_after_step_bytes=0)},
        "measured +8 B beside the trace",
    ),
    "a leak": (
        {"residual": Residual(unexplained_bytes=0, left_after_step_bytes=16)},
        "the step leaves bytes behind",
    ),
    "other static bytes": (
        {"predicted_static_bytes": 59_996},
        "static bytes are not those of the trace",
    ),
    "repeats that differ": ({"deterministic": False}, "repeats of the step differ"),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_without_an_arena_that_can_be_trusted_torchs_peak_is_judged(case: str) -> None:
    # GIVEN a record whose arena would fit, and something that speaks against it
    changes, why = DOUBTS[case]
    found = measured(60_000, 50_000, 30_000)
    (stage,) = found.stages
    doubtful = found.model_copy(update={"stages": [stage.model_copy(update=changes)]})

    # WHEN it is judged
    board, computer = ram(doubtful, MCU), ram(doubtful, SBC)

    # THEN by torch's peak, as on a computer, and the verdict says why
    assert (board.status, board.margin) == (Status.EXCEEDS, USABLE - 110_000)
    assert (board.evidence, board.judged_by) == (Evidence.ALLOCATOR, Allocator.TORCH)
    assert board.reason == f"{computer.reason}; no arena, so judged by torch's peak: {why}"
    assert doubtful.arena_bytes is None


def test_the_worst_stage_may_be_another_under_another_allocator() -> None:
    # GIVEN a stage whose peak is torch's largest, and one whose arena is
    first = measured(10_000, 80_000, 20_000).stages[0]
    second = measured(30_000, 50_000, 50_000).stages[0].model_copy(update={"stage": "second"})
    found = Memory(evidence=Evidence.ALLOCATOR, worst_stage="all", stages=[first, second])

    assert ram(found, SBC).margin == USABLE - 90_000
    assert ram(found, MCU).margin == USABLE - 80_000
    assert "(29.3 KiB static + 48.8 KiB planned arena)" in ram(found, MCU).reason
    assert found.static_bytes + (found.arena_bytes or 0) == 80_000


def test_one_stage_without_an_arena_is_enough_to_have_none() -> None:
    first = measured(10_000, 80_000, 20_000).stages[0]
    second = measured(30_000, 50_000, None).stages[0].model_copy(update={"stage": "second"})
    found = Memory(evidence=Evidence.ALLOCATOR, worst_stage="all", stages=[first, second])

    verdict = ram(found, MCU)

    assert (verdict.margin, verdict.judged_by) == (USABLE - 90_000, Allocator.TORCH)
    assert verdict.reason.endswith("judged by torch's peak: stage second: the record has none")


def test_an_arena_is_planned_only_for_a_device_that_has_one() -> None:
    asked: list[str] = []

    def plan() -> PlannedRam:
        asked.append("plan")
        return PlannedRam(15_000, 4_000)

    judge_all(needs(plan=plan), SBC)
    assert asked == []

    demand = needs(plan=plan)
    assert judge_all(demand, MCU)[0].margin == USABLE - 19_000
    assert amounts(demand, MCU, Budgets())[0]["ram"] == Bounds(low=19_000, high=19_000)
    assert asked == ["plan"]


def test_flash_keeps_its_own_evidence() -> None:
    ram_verdict, flash = judge_all(
        needs(storage_bytes=7, plan=lambda: PlannedRam(15_000, 4_000)), MCU
    )

    assert (ram_verdict.evidence, flash.evidence) == (Evidence.PLANNED, Evidence.ALLOCATOR)
    assert flash.judged_by is None


def test_a_budget_limits_the_ram_that_is_judged() -> None:
    limits = Budgets.model_validate({"ram": "80000 B"})

    assert ram(measured(60_000, 50_000, 20_000), MCU, limits).margin == 0
    assert ram(measured(60_000, 50_000, 20_000), SBC, limits).margin == -30_000


def test_bytes_are_judged_by_hand_with_and_without_an_arena() -> None:
    (planned,) = judge(60_000, 50_000, 0, MCU, arena_bytes=30_000)
    (torch,) = judge(60_000, 50_000, 0, SBC, arena_bytes=30_000)
    (none,) = judge(60_000, 50_000, 0, MCU)

    assert [each.judged_by for each in (planned, torch, none)] == ["arena", "torch", "torch"]
    assert [each.margin for each in (planned, torch, none)] == [10_000, -10_000, -10_000]
    with pytest.raises(ValueError, match="arena_bytes is -1"):
        judge(1, 1, 0, MCU, arena_bytes=-1)


def test_what_is_not_known_is_judged_by_nobody() -> None:
    (verdict,) = judge(None, 1, 0, MCU, arena_bytes=1)

    assert (verdict.status, verdict.judged_by) == (Status.UNKNOWN, None)


def test_the_frame_of_verdicts_says_which_ram_was_judged() -> None:
    judges = Judges(devices=[MCU, SBC])

    def rows(of: Record) -> list[dict[str, object]]:
        return [dict(zip(VERDICTS, row, strict=True)) for row in verdict_rows(of, judges)]

    found = rows(record(memory=measured(60_000, 50_000, 30_000)))
    older = rows(record(memory=measured(60_000, 50_000, None)))

    assert [(row["judged_by"], row["evidence"]) for row in found] == [
        ("arena", "planned"),
        ("torch", "allocator"),
    ]
    assert [row["judged_by"] for row in older] == ["torch", "torch"]
