"""A step compared with another revision: what fails, what is told, what is not compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.builders.profiles import GRADIENT, step_profile
from trainfit.bench.gate.compare import FindingKind, Severity
from trainfit.bench.gate.figures import figures_of_profile
from trainfit.bench.profiler.fold import Block
from trainfit.bench.testing.base import Base, nothing_compared, told
from trainfit.bench.testing.checks import CheckKind
from trainfit.bench.testing.report import Measured, gate_result

TITLE = "test_it.py::test_a"
OUTPUT = Block(64, "forward", "activations", "addmm float32 4x4")


def figures(*extra: Block, **changes: Any) -> Any:
    return figures_of_profile(step_profile(*extra, **changes))


def base(strict: bool = False, **changes: Any) -> Base:
    return Base("main", "0123456789abcdef", {TITLE: figures(**changes)}, {}, strict)


def measured(problems: Any = (), comparisons: Any = (), title: str = TITLE) -> Measured:
    step = {
        "name": "",
        "problems": [each.plain() for each in problems],
        "comparisons": [each.plain() for each in comparisons],
    }
    return Measured(title, "failed" if problems else "passed", step)


@pytest.mark.parametrize(
    ("changes", "kind", "fails"),
    [
        ({}, None, False),
        ({"static_bytes": 3_001}, FindingKind.GREW, True),
        ({"static_bytes": 2_000}, FindingKind.SHRANK, False),
        (  # more between steps, less at the peak: there is more room
            {"static_bytes": 3_500, "peak_dynamic_bytes": 400},
            FindingKind.SHRANK,
            False,
        ),
        (
            {"static_bytes": 3_500, "peak_dynamic_bytes": 600},
            FindingKind.GREW,
            True,
        ),
        ({"entry_bytes": 8}, FindingKind.CHANGED, False),
        ({"left_after_step_bytes": 64, "left_blocks": (OUTPUT,)}, FindingKind.LEAKS, True),
    ],
)
def test_what_a_device_has_to_hold_decides(
    changes: dict[str, Any], kind: FindingKind | None, fails: bool
) -> None:
    problems, (comparison,) = base().compare(TITLE, figures(**changes))
    first = next(iter(comparison.findings), None)
    assert (first.kind if first else None) is kind
    assert bool(problems) is fails
    strictly, _ = base(strict=True).compare(TITLE, figures(**changes))
    assert bool(strictly) is (kind is not None)


def test_more_work_in_between_is_told_and_no_failure() -> None:
    then, now = (np.array([600, 400, *more, -1_000]) for more in ((), (8, -8)))
    problems, (comparison,) = base(allocations=then).compare(TITLE, figures(allocations=now))
    assert problems == []
    assert comparison.findings[0].severity is Severity.WARN
    assert comparison.findings[0].reason == "RAM is as before, 2 other figures not"
    (report,) = gate_result([measured((), [comparison])]).explained.values()
    assert report[0].startswith("+8 B and +1 allocations in the course of the step")


def test_a_failure_is_in_the_report_once() -> None:
    for changes, kind in (
        ({"static_bytes": 3_500}, FindingKind.GREW),
        ({"left_after_step_bytes": 64, "left_blocks": (OUTPUT,)}, FindingKind.LEAKS),
    ):
        problems, comparisons = base().compare(TITLE, figures(**changes))
        result = gate_result([measured(problems, comparisons)])
        assert [found.kind for found in result.failures] == [kind]
        assert result.origins == {TITLE: ["main (012345678)"]}


def test_the_message_says_what_it_was_compared_with() -> None:
    (problem,), _ = base().compare(TITLE, figures(GRADIENT))
    assert (problem.limit, problem.kind) == ("against main (012345678)", CheckKind.CHANGED)
    assert problem.over_bytes == 400
    assert problem.text.startswith("RAM 4,000 B -> 4,400 B, +400 B (+10.0 %): peak_dynamic +400 B")


def test_a_worker_has_the_same_base() -> None:
    sent = base(strict=True)
    assert Base.from_json(sent.to_json()) == sent


def test_what_was_not_compared_is_said() -> None:
    known = {"t.py::a": figures(), "t.py::gone": figures()}
    there = Base("main", "0123456789abcdef", known, {"t.py::b": "failed"})
    steps = [measured(title=f"t.py::{name}") for name in "abn"]
    assert told(there, steps) == [
        "against main (012345678): 1 step compared, 0 changed",
        "  not compared: t.py::b: at main it failed",
        "  new: t.py::n: main has no such step",
        "  gone: t.py::gone: only main has it",
    ]
    assert told(there, steps, ["t.py::a", "t.py::b"])[-1].startswith("  new: t.py::n")
    assert not nothing_compared(there, steps)
    assert nothing_compared(Base("main", "0", {}, {"t.py::b": "failed"}), steps)
    assert not nothing_compared(Base("main", "0"), steps)
