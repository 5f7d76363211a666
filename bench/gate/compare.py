"""Is it a regression? Deterministic figures held against what they were.

Three questions are asked one after the other, and each has its own answer: is every record valid
(:mod:`trainfit.bench.gate.validity`), may the two be compared
(:mod:`trainfit.bench.gate.comparability`), and has anything changed (here). What does not depend on
records, :func:`compare_entries` above all, serves any figures that are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trainfit.bench.gate.explain import explain
from trainfit.bench.gate.golden import Entry, Golden, entry_of
from trainfit.bench.gate.result import Finding, GateResult, Kind, Severity, sort_findings
from trainfit.bench.gate.rules import (
    WORKLOAD,
    Direction,
    Missing,
    Rule,
    missing_workload,
    rule_for,
    unit_of,
)


def compare_entries(
    key: str, golden: Entry, measured: Entry, rules: Sequence[Rule] = ()
) -> list[Finding]:
    """Every metric of one workload held against its golden.

    Args:
        key: The workload's name, for rules and findings.
        golden: What is expected.
        measured: What was found.
        rules: Those of the golden file; without one a metric must be equal.
    """
    if golden.figures == measured.figures:  # nearly always, and fast
        return []
    return [
        found
        for name, then, now in _pairs(golden, measured)
        if then != now
        for found in _judge(key, name, then, now, rules)
    ]


def compare_metrics(
    key: str,
    golden: Mapping[str, int | str],
    measured: Mapping[str, int | str],
    rules: Sequence[Rule] = (),
) -> list[Finding]:
    """The same for plain metrics by name, from wherever they come."""
    return compare_entries(key, entry_of(golden), entry_of(measured), rules)


def gate_entries(
    golden: Golden,
    measured: Mapping[str, Entry],
    *,
    invalid: Mapping[str, str] | None = None,
    strict: bool = False,
    missing: Missing | None = None,
) -> GateResult:
    """Every workload of a golden held against what was measured.

    Args:
        golden: What is expected, and the rules.
        measured: By workload, as the golden names them; all under the golden's conditions.
        invalid: Workloads that ended without figures that could be gated, and why.
        strict: A workload without a golden fails.
        missing: What becomes of workloads that were not measured, whatever the rules say.
    """
    invalid = invalid or {}
    findings: list[Finding] = []
    explained: dict[str, list[str]] = {}
    for key, reason in invalid.items():
        known = key in golden.workloads
        severity = Severity.FAIL if known or strict else Severity.WARN
        findings.append(Finding(key, Kind.INVALID, severity, reason=reason))
    for key, expected in golden.workloads.items():
        if key in invalid:
            continue
        if key not in measured:
            action = missing or missing_workload(golden.rules, key)
            if action is not Missing.IGNORE:
                reason = "the golden has this workload and the run does not"
                findings.append(Finding(key, Kind.MISSING, Severity(action), reason=reason))
            continue
        found = compare_entries(key, expected, measured[key], golden.rules)
        if found:
            findings += found
            explained[key] = explain(expected, measured[key])
    for key in measured.keys() - golden.workloads.keys():
        severity = Severity.FAIL if strict else Severity.WARN
        reason = "the run has this workload and the golden does not; --update adds it"
        findings.append(Finding(key, Kind.NEW, severity, reason=reason))
    compared = [key for key in golden.workloads if key in measured and key not in invalid]
    return GateResult(sort_findings(findings), compared, explained=explained)


def _pairs(
    golden: Entry, measured: Entry
) -> Iterator[tuple[str, int | str | None, int | str | None]]:
    """Every metric of either side; a part of a sum that is not there is 0."""
    for place in dict.fromkeys([*golden.figures, *measured.figures]):
        then, now = golden.figures.get(place), measured.figures.get(place)
        for name in dict.fromkeys([*(then or ()), *(now or ())]):
            is_part = "." in name and then is not None and now is not None
            absent = 0 if is_part else None
            yield f"{place}/{name}", (then or {}).get(name, absent), (now or {}).get(name, absent)


def _judge(
    key: str, name: str, then: int | str | None, now: int | str | None, rules: Sequence[Rule]
) -> Iterator[Finding]:
    known = then if then is not None else now
    assert known is not None
    unit = unit_of(name, known)
    rule = rule_for(rules, key, name, unit)

    def found(kind: Kind, severity: Severity, reason: str = "") -> Finding:
        return Finding(key, kind, severity, name, unit, then, now, reason)

    if now is None:
        if rule.missing is not Missing.IGNORE:
            yield found(Kind.MISSING, Severity(rule.missing), "the run does not have this metric")
    elif then is None:
        severity = Severity.FAIL if rule.direction is Direction.EQUAL else Severity.WARN
        yield found(Kind.NEW, severity, "the golden does not have this metric")
    elif isinstance(then, str) or isinstance(now, str):
        yield found(Kind.CHANGED, Severity.FAIL)
    elif verdict := rule.verdict(then, now):
        tolerance = f"more than the {rule.tolerance} allowed" if rule.tolerance else ""
        if rule.direction is Direction.EQUAL:
            kind = Kind.GREW if verdict > 0 else Kind.SHRANK
            yield found(kind, Severity.FAIL, tolerance)
        elif verdict > 0:
            kind = Kind.GREW if rule.direction is Direction.SMALLER else Kind.WORSE
            yield found(kind, Severity.FAIL, tolerance)
        else:
            yield found(Kind.BETTER, Severity.NOTE, "--update makes it the new golden")


__all__ = [
    "WORKLOAD",
    "Finding",
    "GateResult",
    "Kind",
    "Severity",
    "compare_entries",
    "compare_metrics",
    "gate_entries",
    "sort_findings",
]
