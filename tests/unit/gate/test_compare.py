"""Is it a regression? Growth, shrinkage, what is missing and what is new; and which rule counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.builders.gate import KEY, entry, golden, phases, stage
from trainfit.bench.gate.compare import (
    Finding,
    FindingKind,
    Severity,
    compare_figures,
    compare_workloads,
)
from trainfit.bench.gate.figures import StepFigures
from trainfit.bench.gate.rules import Missing, Rule, Unit

METRICS: dict[str, int | str] = {
    "peak_dynamic_bytes": 1_000,
    "peak_phase": "gradient",
    "update/peak_bytes": 600,
    "update/category.gradients_bytes": 600,
    "update/macs.fp32": 64,
}


def figures(metrics: dict[str, int | str]) -> StepFigures:
    """Figures from plain metrics: a name without a ``/`` belongs to the workload as a whole."""
    found: dict[str, dict[str, int | str]] = {}
    for name, value in metrics.items():
        scope, _, last = name.rpartition("/")
        found.setdefault(scope or "workload", {})[last] = value
    return StepFigures(figures=found)


def compare_metrics(
    key: str,
    then: dict[str, int | str],
    now: dict[str, int | str],
    rules: Sequence[Rule] = (),
) -> list[Finding]:
    return compare_figures(key, figures(then), figures(now), rules)


def rule(**changes: Any) -> Rule:
    values: dict[str, Any] = {"metric": "*", "unit": "B", "why": "because"}
    return Rule.model_validate(values | changes)


def found(changes: dict[str, int | str], *rules: Rule) -> list[tuple[str | None, str, str]]:
    """(metric, kind, severity) of every finding after a change."""
    return [
        (each.metric, each.kind.value, each.severity.value)
        for each in compare_metrics(KEY, METRICS, METRICS | changes, rules)
    ]


def without(name: str) -> dict[str, int | str]:
    return {key: value for key, value in METRICS.items() if key != name}


def test_what_is_equal_is_not_found() -> None:
    assert found({}) == []


@pytest.mark.parametrize(
    ("metric", "value", "kind"),
    [
        ("peak_dynamic_bytes", 1_001, "grew"),
        ("peak_dynamic_bytes", 999, "shrank"),
        ("peak_phase", "update", "changed"),
        ("update/macs.fp32", 65, "grew"),
        ("update/category.gradients_bytes", 0, "shrank"),
    ],
)
def test_one_byte_fails_in_both_directions(metric: str, value: int | str, kind: str) -> None:
    full = metric if "/" in metric else f"workload/{metric}"
    assert found({metric: value}) == [(full, kind, "fail")]


def test_a_finding_says_what_was_and_what_is() -> None:
    (grown,) = compare_metrics(KEY, METRICS, METRICS | {"peak_dynamic_bytes": 1_250})
    assert (grown.golden, grown.measured, grown.change) == (1_000, 1_250, 250)
    assert (grown.unit, grown.workload) == (Unit.BYTES, KEY)


def test_smaller_is_better_where_a_rule_says_so() -> None:
    smaller = rule(metric="peak_dynamic_bytes", direction="smaller")
    assert found({"peak_dynamic_bytes": 900}, smaller) == [
        ("workload/peak_dynamic_bytes", "better", "note")
    ]
    assert found({"peak_dynamic_bytes": 1_001}, smaller)[0][1:] == ("grew", "fail")
    larger = rule(metric="macs.*", unit="count", direction="larger")
    assert found({"update/macs.fp32": 60}, larger)[0][1:] == ("worse", "fail")


def test_a_tolerance_lets_pass_what_is_near_enough() -> None:
    near = rule(metric="peak_dynamic_bytes", percent=2.0)
    assert found({"peak_dynamic_bytes": 1_020}, near) == []
    (far,) = compare_metrics(KEY, METRICS, METRICS | {"peak_dynamic_bytes": 1_021}, [near])
    assert far.reason == "more than the 2 % allowed"
    assert found({"peak_dynamic_bytes": 1_001}, rule(workload="tinyfoa*", percent=50))


@pytest.mark.parametrize(
    ("missing", "severities"), [("fail", ["fail"]), ("warn", ["warn"]), ("ignore", [])]
)
def test_a_metric_that_the_run_lacks(missing: str, severities: list[str]) -> None:
    gone = compare_metrics(KEY, METRICS, without("update/peak_bytes"), [rule(missing=missing)])
    assert [each.severity.value for each in gone] == severities
    assert all(each.kind is FindingKind.MISSING for each in gone)


def test_a_metric_that_the_golden_lacks_fails_until_it_is_accepted() -> None:
    (new,) = compare_metrics(KEY, without("update/peak_bytes"), METRICS)
    assert (new.kind, new.severity, new.golden) == (FindingKind.NEW, Severity.FAIL, None)
    (eased,) = compare_metrics(
        KEY, without("update/peak_bytes"), METRICS, [rule(direction="smaller")]
    )
    assert eased.severity is Severity.WARN


def test_a_part_of_a_sum_that_is_not_there_is_nothing() -> None:
    part = "update/category.gradients_bytes"
    (gone,) = compare_metrics(KEY, METRICS, without(part))
    assert (gone.kind, gone.golden, gone.measured) == (FindingKind.SHRANK, 600, 0)
    (new,) = compare_metrics(KEY, without(part), METRICS)
    assert (new.kind, new.golden, new.measured) == (FindingKind.GREW, 0, 600)


def test_a_phase_that_is_gone_is_missing_not_nothing() -> None:
    no_update = {key: value for key, value in METRICS.items() if not key.startswith("update")}
    gone = compare_metrics(KEY, METRICS, no_update)
    assert {each.kind for each in gone} == {FindingKind.MISSING}
    assert len(gone) == 3


# ---- whole goldens -------------------------------------------------------------------------------


def test_a_run_as_the_golden_has_it_passes() -> None:
    result = compare_workloads(golden(), {KEY: entry()})
    assert (result.exit_code, result.verdict, result.compared) == (0, "pass", [KEY])
    assert not result.findings


def test_growth_is_a_regression_and_the_tensor_is_named() -> None:
    hungry = entry(stage(phases(weight=8_000)))
    result = compare_workloads(golden(), {KEY: hungry})
    assert (result.exit_code, result.verdict) == (1, "regression")
    assert result.failures[0].kind is FindingKind.GREW
    assert result.explained[KEY] == [
        "grown: mm float32 10x64, 4,000 B -> 8,000 B (gradients), in gradient and update"
    ]


@pytest.mark.parametrize(("strict", "severity", "code"), [(False, "warn", 0), (True, "fail", 1)])
def test_a_workload_without_a_golden(strict: bool, severity: str, code: int) -> None:
    result = compare_workloads(golden(), {KEY: entry(), "new": entry()}, strict=strict)
    (new,) = result.findings
    assert (new.workload, new.kind, new.severity.value) == ("new", FindingKind.NEW, severity)
    assert result.exit_code == code


@pytest.mark.parametrize(
    ("rules", "missing", "code", "findings"),
    [
        ([], None, 1, 1),
        ([], Missing.WARN, 0, 1),
        ([], Missing.IGNORE, 0, 0),
        ([{"metric": "workload", "unit": "text", "missing": "warn", "why": "slow"}], None, 0, 1),
        ([{"metric": "*", "unit": "B", "missing": "ignore", "why": "x"}], None, 1, 1),
    ],
)
def test_a_workload_that_the_run_lacks(
    rules: list[dict[str, Any]], missing: Missing | None, code: int, findings: int
) -> None:
    result = compare_workloads(golden(*rules), {}, missing=missing)
    assert (result.exit_code, len(result.findings)) == (code, findings)


def test_a_record_that_is_not_valid_fails_once() -> None:
    result = compare_workloads(golden(), {}, invalid={KEY: "it ended as failed", "other": "too"})
    assert [(each.workload, each.severity.value) for each in result.findings] == [
        (KEY, "fail"),
        ("other", "warn"),
    ]
    assert compare_workloads(
        golden(), {}, invalid={KEY: "x", "other": "too"}, strict=True
    ).failures[1]


def test_what_got_worse_comes_first() -> None:
    ones = compare_metrics("a", METRICS, METRICS | {"peak_dynamic_bytes": 999})
    ones += compare_metrics("b", METRICS, METRICS | {"peak_dynamic_bytes": 1_001})
    ones += compare_metrics("c", METRICS, METRICS | {"peak_dynamic_bytes": 1_500})
    assert [each.workload for each in sorted(ones, key=lambda each: each.rank)] == ["c", "b", "a"]


def test_entries_with_equal_figures_are_equal_whatever_their_tensors() -> None:
    renamed = StepFigures(figures=entry().figures, tensors={})
    assert compare_workloads(golden(), {KEY: renamed}).exit_code == 0
