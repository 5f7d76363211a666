"""What the gate allows: directions, tolerances, and which rule counts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainfit.bench.gate.rules import (
    GoldenError,
    Missing,
    Rule,
    Unit,
    missing_workload,
    refuse_noisy,
    rule_for,
    unit_of,
)

KEY = "backprop[optimizer=adam] mlp-64-10 digits b32"


def rule(**changes: Any) -> Rule:
    values: dict[str, Any] = {"metric": "*", "unit": "B", "why": "because"}
    return Rule.model_validate(values | changes)


@pytest.mark.parametrize(
    ("direction", "measured", "verdict"),
    [
        ("equal", 1_001, 1),
        ("equal", 999, -1),
        ("equal", 1_000, 0),
        ("smaller", 1_001, 1),
        ("smaller", 999, -1),
        ("larger", 1_001, -1),
        ("larger", 999, 1),
    ],
)
def test_directions(direction: str, measured: int, verdict: int) -> None:
    assert rule(direction=direction).verdict(1_000, measured) == verdict


@pytest.mark.parametrize(
    ("tolerances", "near", "far"),
    [
        ({}, 1_000, 1_001),
        ({"absolute": 16}, 1_016, 1_017),
        ({"percent": 2.5}, 1_025, 1_026),
        ({"absolute": 16, "percent": 2.5}, 975, 974),
        ({"absolute": 100, "percent": 2.5}, 900, 899),
    ],
)
def test_the_larger_of_both_tolerances_counts(
    tolerances: dict[str, float], near: int, far: int
) -> None:
    chosen = rule(**tolerances)
    assert chosen.verdict(1_000, near) == 0
    assert chosen.verdict(1_000, far) != 0


@pytest.mark.parametrize(
    ("metric", "name", "meant"),
    [
        ("*", "all/update/peak_bytes", True),
        ("peak_bytes", "all/update/peak_bytes", True),
        ("peak_bytes", "all/update/closed_peak_bytes", False),
        ("category.*", "all/update/category.gradients_bytes", True),
        ("all/*", "all/update/peak_bytes", True),
        ("*/update/*", "layer2/update/peak_bytes", True),
        ("*/update/*", "layer2/update.positive/peak_bytes", False),
        ("workload/*", "all/peak_dynamic_bytes", False),
    ],
)
def test_a_rule_names_metrics(metric: str, name: str, meant: bool) -> None:
    assert rule(metric=metric).names(name) is meant


@pytest.mark.parametrize(
    ("workload", "meant"),
    [
        ("*", True),
        ("backprop[*", True),
        ("backprop[optimizer=adam] *", True),
        ("backprop *", False),
    ],
)
def test_brackets_of_a_workload_are_plain_text(workload: str, meant: bool) -> None:
    chosen = rule(workload=workload)
    assert chosen.covers(KEY, "all/peak_bytes", Unit.BYTES) is meant


def test_the_last_rule_that_covers_a_metric_counts() -> None:
    rules = [rule(absolute=8), rule(metric="peak_bytes", absolute=64), rule(unit="count")]

    def absolute(metric: str, unit: Unit) -> float:
        return rule_for(rules, KEY, metric, unit).absolute

    assert absolute("all/update/peak_bytes", Unit.BYTES) == 64
    assert absolute("all/update/exit_bytes", Unit.BYTES) == 8
    assert absolute("all/update/macs.fp32", Unit.COUNT) == 0
    default = rule_for([], KEY, "all/update/peak_bytes", Unit.BYTES)
    assert (default.direction, default.allowed(1e9), default.missing) == ("equal", 0, "fail")


def test_a_missing_workload_has_a_rule_of_its_own() -> None:
    rules = [rule(missing="ignore"), rule(metric="workload", workload="back*", missing="warn")]
    assert missing_workload(rules, KEY) is Missing.WARN
    assert missing_workload(rules, "tinyfoa") is Missing.FAIL
    assert missing_workload([], KEY) is Missing.FAIL


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "KiB"},
        {"direction": "up"},
        {"absolute": -1},
        {"percent": True},
        {"percent": float("nan")},
        {"missing": "shrug"},
        {"why": ""},
        {"metric": ""},
        {"tolerance": 3},
        {"unit": "text", "percent": 1.0},
        {"unit": "text", "direction": "smaller"},
    ],
)
def test_a_rule_that_says_nothing_clear_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rule(**changes)
    with pytest.raises(ValidationError):
        Rule.model_validate({"metric": "*", "unit": "B"})  # without a reason


@pytest.mark.parametrize(
    "name", ["step_seconds_median", "latency", "joules_per_step", "idle_watts"]
)
def test_noise_is_never_gated(name: str) -> None:
    with pytest.raises(GoldenError, match=r"x\.json: .*trainfit compare-revisions REV"):
        refuse_noisy(["peak_bytes", name], "x.json")


def test_units_follow_from_names() -> None:
    assert unit_of("all/update/category.gradients_bytes", 4) is Unit.BYTES
    assert unit_of("all/update/macs.fp32", 4) is Unit.COUNT
    assert unit_of("workload/peak_phase", "update") is Unit.TEXT
    assert unit_of("step", 1.02) is Unit.RATIO
