"""What the gate says: findings, and the exit code that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from trainfit.bench.gate.rules import Unit, Value


class Severity(StrEnum):
    """What a finding does to the job."""

    FAIL = "fail"
    WARN = "warn"
    NOTE = "note"


class Kind(StrEnum):
    """What was found."""

    GREW = "grew"
    WORSE = "worse"
    """Of a metric of which less is worse, or of a ratio."""
    SHRANK = "shrank"
    BETTER = "better"
    CHANGED = "changed"
    MISSING = "missing"
    NEW = "new"
    INVALID = "invalid"
    INCOMPARABLE = "not comparable"


_ORDER = (Kind.INVALID, Kind.MISSING, Kind.WORSE, Kind.GREW, Kind.CHANGED, Kind.SHRANK, Kind.NEW)


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
    kind: Kind
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


@dataclass(frozen=True)
class GateResult:
    """What the gate says.

    Attributes:
        findings: Everything that is not as expected.
        compared: The workloads that were compared.
        incomparable: Why nothing, or not everything, could be compared; empty if it could.
        notes: What else to know.
        explained: By workload, which tensors did it, in words; what weighs most first.
    """

    findings: Sequence[Finding] = ()
    compared: Sequence[str] = ()
    incomparable: Sequence[str] = ()
    notes: Sequence[str] = ()
    explained: Mapping[str, Sequence[str]] = field(default_factory=dict)

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


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """What got worse first: failures, then by kind, then by how much."""
    severities = list(Severity)

    def weight(found: Finding) -> tuple[int, int, float, str]:
        kind = _ORDER.index(found.kind) if found.kind in _ORDER else len(_ORDER)
        bytes_first = abs(found.change or 0) if found.unit is Unit.BYTES else 0
        return severities.index(found.severity), kind, -bytes_first, found.workload

    return sorted(findings, key=weight)
