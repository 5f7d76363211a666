"""A run held against a golden file: valid, comparable, a regression; in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainfit.bench.gate.comparability import (
    RECORD_VERSION,
    conditions_of,
    differences_to_note,
    made_with,
    why_incomparable,
)
from trainfit.bench.gate.compare import (
    Finding,
    GateResult,
    Kind,
    Severity,
    gate_entries,
    sort_findings,
)
from trainfit.bench.gate.golden import Conditions, Golden, read_golden
from trainfit.bench.gate.read import read_gated, without_collection
from trainfit.bench.gate.rules import Missing, Rule, unit_of
from trainfit.bench.gate.validity import Measured, measured_of


@dataclass(frozen=True)
class GatedRun:
    """A run as the gate sees it.

    Attributes:
        path: The run folder.
        measured: Its figures, and which records are not valid.
        conditions: What its bytes depend on.
        made_with: What else to know about its making.
    """

    path: Path
    measured: Measured
    conditions: Conditions
    made_with: dict[str, str]


def read_run(path: Path) -> GatedRun:
    """Read what the gate needs of a run.

    Raises:
        RunFolderError: There is no run, or it is empty, mixed or without bytes.
    """
    with without_collection():
        measured = measured_of(read_gated(path), path)
    return GatedRun(path, measured, conditions_of(path, measured), made_with(path, measured))


def gate_run(
    path: Path, file: Path, *, strict: bool = False, missing: Missing | None = None
) -> GateResult:
    """Gate a run against a golden file.

    Args:
        path: The run folder.
        file: The golden file.
        strict: A workload that the golden does not have fails.
        missing: What becomes of workloads that the run does not have, whatever the rules say.

    Raises:
        GoldenError: The golden cannot be read.
        RunFolderError: The run cannot be read, or holds nothing that could be gated.
    """
    with without_collection():
        golden = read_golden(file)
    return gate_measured(golden, read_run(path), strict=strict, missing=missing)


def gate_measured(
    golden: Golden, run: GatedRun, *, strict: bool = False, missing: Missing | None = None
) -> GateResult:
    """The same for what has been read: may they be compared, and if so, is it a regression."""
    reasons = incomparable(golden, run)
    if reasons:
        return GateResult(incomparable=reasons)
    result = gate(golden, run, strict=strict, missing=missing)
    noted = differences_to_note(golden, run.made_with) if result.failures else []
    return replace(result, notes=[*noted, *_idle(golden.rules, golden, run)])


def gate(
    golden: Golden, run: GatedRun, *, strict: bool = False, missing: Missing | None = None
) -> GateResult:
    """Every workload of a golden held against a run, whatever the conditions."""
    measured = run.measured
    result = gate_entries(
        golden, measured.entries, invalid=measured.invalid, strict=strict, missing=missing
    )
    if golden.made_with.get(RECORD_VERSION, measured.version) == measured.version:
        return result
    eased = [_from_newer_version(found, golden, measured) for found in result.findings]
    return replace(result, findings=sort_findings(eased))


def incomparable(golden: Golden, run: GatedRun) -> list[str]:
    """Why a run cannot be held against a golden; empty if it can."""
    reasons = why_incomparable(golden.conditions, run.conditions)
    then = golden.made_with.get(RECORD_VERSION, run.measured.version)
    if _number(run.measured.version) < _number(then):
        reasons.append(
            f"the records of the run are older ({run.measured.version}) than those of the golden "
            f"({then}); measure the run again"
        )
    return reasons


def _number(version: str) -> int:
    digits = version.rpartition("/")[2]
    return int(digits) if digits.isdigit() else 0


def _from_newer_version(found: Finding, golden: Golden, measured: Measured) -> Finding:
    """A metric that came with a newer version of records is no change of the training."""
    if found.kind is not Kind.NEW or found.metric is None:
        return found
    place = found.metric.rpartition("/")[0]
    if place not in golden.workloads[found.workload].figures:
        return found
    reason = f"came with {measured.version}; --update takes it into the golden"
    return replace(found, severity=Severity.WARN, reason=reason)


def _idle(rules: Sequence[Rule], golden: Golden, run: GatedRun) -> list[str]:
    """Rules about nothing: most likely a slip of the pen."""
    if not rules:
        return []
    known = {
        (metric, unit_of(metric, value))
        for entries in (golden.workloads, run.measured.entries)
        for entry in entries.values()
        for metric, value in entry.metrics()
    }
    return [
        f"rule {number} ({rule.metric!r} in {rule.unit}) is about no metric of this golden or run"
        for number, rule in enumerate(rules, start=1)
        if rule.metric != "workload"
        and not any(unit is rule.unit and rule.names(metric) for metric, unit in known)
    ]
