"""Is it a regression? Deterministic figures compared with what they were.

Nothing here depends on records or files, so it serves figures of any origin. What a run folder has
to say, and whether it may be compared at all, is the matter of :mod:`trainfit.bench.gate.run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trainfit.bench.gate.explain import explain
from trainfit.bench.gate.figures import OPTIONAL, StepFigures
from trainfit.bench.gate.golden import Golden
from trainfit.bench.gate.pairs import Pair, pair_up
from trainfit.bench.gate.rules import (
    Direction,
    Missing,
    Rule,
    Unit,
    Value,
    missing_workload,
    rule_for,
    unit_of,
)
from trainfit.bench.gate.totals import LEFT_METRIC, Change, change_of


class Severity(StrEnum):
    """What a finding does to the job; the worst first."""

    FAIL = "fail"
    WARN = "warn"
    NOTE = "note"


class FindingKind(StrEnum):
    """What was found; the worst first."""

    INVALID = "invalid"
    LEAKS = "leaks"
    """More is left behind by every step than was."""
    OVER = "over"
    """A limit of a test does not hold."""
    WORSE = "worse"
    """Of a metric of which less is worse, or of a ratio."""
    GREW = "grew"
    MISSING = "missing"
    CHANGED = "changed"
    SHRANK = "shrank"
    NEW = "new"
    BETTER = "better"


_SEVERITIES, _KINDS = list(Severity), list(FindingKind)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as expected.

    Attributes:
        workload: Which one, as the golden names it.
        kind: What was found.
        severity: What it does to the job.
        metric: Full name, such as ``all/gradient/peak_bytes``; None for the workload as a whole.
        unit: Of both values.
        golden: What was expected; None where nothing was.
        measured: What was found; None where nothing was.
        reason: In words, what people should know beyond the numbers.
        interval: Low and high end, where ``measured`` is a ratio that was measured.
    """

    workload: str
    kind: FindingKind
    severity: Severity
    metric: str | None = None
    unit: Unit = Unit.TEXT
    golden: Value | None = None
    measured: Value | None = None
    reason: str = ""
    interval: tuple[float, float] | None = None

    @property
    def change(self) -> float | None:
        """Measured minus golden, where both are numbers."""
        if isinstance(self.golden, str | None) or isinstance(self.measured, str | None):
            return None
        return self.measured - self.golden

    @property
    def rank(self) -> tuple[int, int, bool, float, str]:
        """Sorts findings, the worst first: by severity, kind, bytes before all else, and size."""
        size = abs(self.change or 0)
        severity, kind = _SEVERITIES.index(self.severity), _KINDS.index(self.kind)
        return severity, kind, self.unit is not Unit.BYTES, -size, self.workload


@dataclass(frozen=True)
class GateResult:
    """What the gate says.

    Attributes:
        findings: Everything that is not as expected, the worst first.
        compared: The workloads that were compared.
        incomparable: Why nothing, or not everything, could be compared; empty if it could.
        notes: What else to know.
        explained: By workload, which tensors did it, in words; what weighs most first.
        changes: By workload, what a device has to hold before and after.
        origins: By workload, where what it was compared with stands, if that differs.
    """

    findings: Sequence[Finding] = ()
    compared: Sequence[str] = ()
    incomparable: Sequence[str] = ()
    notes: Sequence[str] = ()
    explained: Mapping[str, Sequence[str]] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)
    origins: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def failures(self) -> list[Finding]:
        """What fails the job."""
        return [found for found in self.findings if found.severity is Severity.FAIL]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 3 not comparable; a regression that is proven comes first."""
        if self.failures:
            return 1
        return 3 if self.incomparable else 0

    @property
    def verdict(self) -> str:
        """The exit code in a word."""
        return {0: "pass", 1: "regression", 3: "not comparable"}[self.exit_code]


def compare_workloads(
    golden: Golden,
    measured: Mapping[str, StepFigures],
    *,
    invalid: Mapping[str, str] | None = None,
    strict: bool = False,
    missing: Missing | None = None,
) -> GateResult:
    """Compare every workload of a golden with what was measured.

    Args:
        golden: What is expected, and the rules.
        measured: By workload, as the golden names them; all under the golden's conditions.
        invalid: Workloads that ended without figures that could be gated, and why.
        strict: A workload without a golden fails.
        missing: What becomes of workloads that were not measured, whatever the rules say.

    A workload that is only in the golden and one that was only measured may be the same with
    another batch size, width or option: :func:`trainfit.bench.gate.pairs.pair_up` decides, and
    the two are compared under the new name. That they differ counts as a missing workload does.
    """
    invalid = invalid or {}
    unexpected = Severity.FAIL if strict else Severity.WARN
    findings: list[Finding] = []
    compared: list[str] = []
    explained: dict[str, list[str]] = {}
    changes: dict[str, Change] = {}
    for key, reason in invalid.items():
        severity = Severity.FAIL if key in golden.workloads else unexpected
        findings.append(Finding(key, FindingKind.INVALID, severity, reason=reason))

    def compare(key: str, expected: StepFigures) -> None:
        found = compare_figures(key, expected, measured[key], golden.rules)
        change = change_of(expected, measured[key])
        compared.append(key)
        if change is not None:
            changes[key] = change
        if found:
            findings.extend(found)
            explained[key] = explain(expected, measured[key])

    gone = {key: missing or missing_workload(golden.rules, key) for key in golden.workloads}
    gone = {
        key: action
        for key, action in gone.items()
        if key not in invalid and key not in measured and action is not Missing.IGNORE
    }
    pairs = pair_up(gone, measured.keys() - golden.workloads.keys())
    for key, expected in golden.workloads.items():
        if key in measured and key not in invalid:
            compare(key, expected)
        elif key in pairs:
            pair = pairs[key]
            findings.append(_turned_into(pair, Severity(gone[key])))
            compare(pair.new, expected)
        elif key in gone:
            reason = "the golden has this workload and the run does not"
            findings.append(Finding(key, FindingKind.MISSING, Severity(gone[key]), reason=reason))
    paired = {pair.new for pair in pairs.values()}
    for key in measured.keys() - golden.workloads.keys() - paired:
        reason = "the run has this workload and the golden does not; --update adds it"
        findings.append(Finding(key, FindingKind.NEW, unexpected, reason=reason))
    findings.sort(key=lambda each: each.rank)
    return GateResult(findings, compared, explained=explained, changes=changes)


def _turned_into(pair: Pair, severity: Severity) -> Finding:
    reason = f"was {pair.old} in the golden: {pair.what}"
    return Finding(pair.new, FindingKind.CHANGED, severity, reason=reason)


def compare_figures(
    key: str, golden: StepFigures, measured: StepFigures, rules: Sequence[Rule] = ()
) -> list[Finding]:
    """Compare every metric of one workload with its golden.

    Args:
        key: The workload's name, for rules and findings.
        golden: What is expected.
        measured: What was found.
        rules: Those of the golden file; without one a metric must be equal.

    Returns:
        What is not as expected, the worst first.
    """
    if golden.same_figures(measured):
        return []
    found = [
        each
        for name, then, now in _pairs(golden, measured)
        if then != now
        for each in _judge(key, name, then, now, rules)
    ]
    return sorted(found, key=lambda each: each.rank)


def _pairs(
    golden: StepFigures, measured: StepFigures
) -> Iterator[tuple[str, int | str | None, int | str | None]]:
    """Every metric of either side; a part of a sum that is not there is 0."""
    for scope in dict.fromkeys([*golden.figures, *measured.figures]):
        then, now = golden.figures.get(scope), measured.figures.get(scope)
        for name in dict.fromkeys([*(then or ()), *(now or ())]):
            is_part = "." in name and then is not None and now is not None
            absent = 0 if is_part else None
            if name in OPTIONAL and (name not in (then or ()) or name not in (now or ())):
                continue  # a golden of before does not have it
            yield f"{scope}/{name}", (then or {}).get(name, absent), (now or {}).get(name, absent)


def _judge(
    key: str, name: str, then: int | str | None, now: int | str | None, rules: Sequence[Rule]
) -> Iterator[Finding]:
    known = then if then is not None else now
    assert known is not None
    unit = unit_of(name, known)
    rule = rule_for(rules, key, name, unit)

    def found(kind: FindingKind, severity: Severity, reason: str = "") -> Finding:
        return Finding(key, kind, severity, name, unit, then, now, reason)

    if now is None:
        if rule.missing is not Missing.IGNORE:
            yield found(
                FindingKind.MISSING, Severity(rule.missing), "the run does not have this metric"
            )
    elif then is None:
        severity = Severity.FAIL if rule.direction is Direction.EQUAL else Severity.WARN
        yield found(FindingKind.NEW, severity, "the golden does not have this metric")
    elif isinstance(then, str) or isinstance(now, str):
        yield found(FindingKind.CHANGED, Severity.FAIL)
    elif verdict := rule.verdict(then, now):
        tolerance = f"more than the {rule.tolerance} allowed" if rule.tolerance else ""
        if verdict > 0 and name.endswith(f"/{LEFT_METRIC}") and now > 0:
            yield found(FindingKind.LEAKS, Severity.FAIL, tolerance)
        elif rule.direction is Direction.EQUAL:
            kind = FindingKind.GREW if verdict > 0 else FindingKind.SHRANK
            yield found(kind, Severity.FAIL, tolerance)
        elif verdict > 0:
            kind = FindingKind.GREW if rule.direction is Direction.SMALLER else FindingKind.WORSE
            yield found(kind, Severity.FAIL, tolerance)
        else:
            yield found(FindingKind.BETTER, Severity.NOTE, "--update makes it the new golden")
