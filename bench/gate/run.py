"""A run and a golden file: is it valid, may the two be compared, and what is accepted.

Threads and oneDNN are those of the memory pass, which sets them itself (one, off), whatever the
suite says. Model, data and the kernel that an algorithm's options choose are in the name of a
workload, so they are compared by looking it up.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainfit._text import counted
from trainfit.bench.errors import RunFolderError
from trainfit.bench.gate.compare import (
    Finding,
    FindingKind,
    GateResult,
    Severity,
    compare_workloads,
)
from trainfit.bench.gate.figures import StepFigures, figures_of_record, key_of
from trainfit.bench.gate.golden import Conditions, Golden, read_if_there, write_golden
from trainfit.bench.gate.rules import WORKLOAD, GoldenError, Missing, unit_of
from trainfit.bench.gate.totals import totals_of
from trainfit.bench.records.reading import iter_records, read_environment, read_suite
from trainfit.bench.records.schema import Record, RecordStatus

RECORD_VERSION = "record"
"""Under what name ``made_with`` of a golden keeps the version of its records."""

_NOTED = ("numba", "numpy", "architecture", "cpu_capability", RECORD_VERSION)
"""Differences that should not change bytes, and are listed for the search of its cause."""


@dataclass(frozen=True)
class GatedRun:
    """What the gate needs of a run.

    Attributes:
        path: The run folder, or the file that the figures come from.
        figures: Of every valid workload, by its name.
        invalid: Why the others are not.
        conditions: What the bytes depend on.
        made_with: What else to know about its making; a golden keeps it.
    """

    path: Path
    figures: Mapping[str, StepFigures]
    invalid: Mapping[str, str]
    conditions: Conditions
    made_with: Mapping[str, str]


# ---- valid ---------------------------------------------------------------------------------------


def read_run(path: Path) -> GatedRun:
    """Read what the gate needs of a run.

    A workload that is in the run twice (with other numbers of passes, say) must have the same bytes
    twice.

    Raises:
        RunFolderError: There is no run, it is empty, mixes versions of records or ways of measuring
            bytes, or measured no bytes at all.
    """
    figures: dict[str, StepFigures] = {}
    invalid: dict[str, str] = {}
    versions: dict[str, int] = {}
    evidence: set[str] = set()
    with without_collection():
        for record in iter_records(path):
            versions[record.schema_] = versions.get(record.schema_, 0) + 1
            key, reason = key_of(record.workload), _why_invalid(record)
            if record.memory is not None:
                evidence.add(record.memory.evidence.value)
                if reason is None:
                    found = figures_of_record(record.memory, record.operations)
                    if figures.setdefault(key, found).figures != found.figures:
                        reason = "two records of it in this run have different bytes"
            if reason is not None:
                invalid[key] = reason
    version = _only_version(path, versions)
    if not evidence:
        raise RunFolderError(f"{path}: no record has bytes; {next(iter(invalid.items()))[1]}")
    if len(evidence) > 1:
        raise RunFolderError(
            f"{path}: mixes ways of measuring bytes ({', '.join(sorted(evidence))}); "
            "gate one run for each of them"
        )
    return GatedRun(
        path,
        {key: found for key, found in figures.items() if key not in invalid},
        invalid,
        *_origin(path, version, evidence.pop()),
    )


def _why_invalid(record: Record) -> str | None:
    """Why the bytes of a record cannot be gated; None if they can."""
    if record.status is not RecordStatus.OK:
        error = record.error
        what = f": {error.type}: {error.message}" if error else ""
        return f"it ended as {record.status.value.replace('_', ' ')}{what}"
    if record.memory is None:
        return (
            'its memory was not measured; run a suite that measures memory (measure = ["memory"]): '
            "trainfit run SUITE --out DIR"
        )
    unsteady = [stage.stage for stage in record.memory.stages if not stage.deterministic]
    if unsteady or not record.memory.deterministic:
        where = f" at stage {', '.join(unsteady)}" if unsteady else ""
        return f"its bytes are not deterministic{where}: repeats differed"
    return None


def _only_version(path: Path, versions: Mapping[str, int]) -> str:
    if not versions:
        raise RunFolderError(
            f"{path}: holds no records; measure some with: trainfit run SUITE --out DIR, "
            f"or go on with this one: trainfit run --resume --out {path}"
        )
    if len(versions) > 1:
        counted = ", ".join(f"{count} of {name}" for name, count in sorted(versions.items()))
        raise RunFolderError(
            f"{path}: mixes versions of records ({counted}); measure it again in one go: "
            "trainfit run SUITE --out DIR"
        )
    return next(iter(versions))


def _origin(path: Path, version: str, evidence: str) -> tuple[Conditions, dict[str, str]]:
    """Conditions of a run, and what else a golden keeps of its making."""
    environment = read_environment(path)
    versions, machine = _table(environment, "versions"), _table(environment, "machine")
    torch = versions.get("torch")
    if not isinstance(torch, str) or not torch.partition("+")[0]:
        raise RunFolderError(f"{path}: environment.json does not say which torch made the run")
    found = {
        "suite": read_suite(path).get("name"),
        RECORD_VERSION: version,
        "trainfit": versions.get("trainfit"),
        **{name: versions.get(name, machine.get(name)) for name in _NOTED[:-1]},
    }
    made_with = {name: value for name, value in found.items() if isinstance(value, str)}
    return Conditions(torch=torch.partition("+")[0], evidence=evidence), made_with


def _table(environment: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = environment.get(name)
    return found if isinstance(found, dict) else {}


@contextmanager
def without_collection() -> Iterator[None]:
    """Hold the garbage collector inside the block.

    For many small objects that all stay: looking for cycles among them is half of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# ---- compared ------------------------------------------------------------------------------------


def gate(
    golden: Golden, run: GatedRun, *, strict: bool = False, missing: Missing | None = None
) -> GateResult:
    """Gate a run: may it be compared with the golden, and if so, is it a regression?

    Args:
        golden: What is expected.
        run: What was measured.
        strict: A workload that the golden does not have fails.
        missing: What becomes of workloads that the run does not have, whatever the rules say.
    """
    reasons = golden.conditions.why_incomparable(run.conditions)
    then, now = _record_versions(golden, run)
    if _number(now) < _number(then):
        reasons.append(
            f"the records of the run are older ({now}) than those of the golden ({then}); "
            "measure the run again"
        )
    if reasons:
        return GateResult(incomparable=reasons)
    result = _compared(golden, run, strict=strict, missing=missing)
    noted = _differences_to_note(golden, run) if result.failures else []
    known = _known_leaks(result)
    return replace(result, notes=[*noted, *known, *_unused_rules(golden, run)])


def _known_leaks(result: GateResult) -> list[str]:
    """What passes because somebody accepted it: it goes on filling memory."""
    leaking = {
        key: change.after.left
        for key, change in result.changes.items()
        if 0 < change.after.left <= change.before.left
    }
    if not leaking:
        return []
    worst = max(leaking, key=lambda key: leaking[key])
    told = f"{counted(len(leaking), 'workload')} leaking as the golden has it; most of all {worst}"
    return [f"{told}, {leaking[worst]:,} B per step"]


def _compared(
    golden: Golden, run: GatedRun, *, strict: bool = False, missing: Missing | None = None
) -> GateResult:
    """Every workload of a golden compared with a run, whatever the conditions."""
    result = compare_workloads(
        golden, run.figures, invalid=run.invalid, strict=strict, missing=missing
    )
    then, now = _record_versions(golden, run)
    if then == now:
        return result
    eased = [_from_newer_version(found, golden, now) for found in result.findings]
    return replace(result, findings=sorted(eased, key=lambda found: found.rank))


def _record_versions(golden: Golden, run: GatedRun) -> tuple[str, str]:
    """Of the golden's records and of the run's; the same where one of them does not say."""
    now = run.made_with.get(RECORD_VERSION, "")
    return golden.made_with.get(RECORD_VERSION, now) if now else "", now


def _number(version: str) -> int:
    digits = version.rpartition("/")[2]
    return int(digits) if digits.isdigit() else 0


def _from_newer_version(found: Finding, golden: Golden, version: str) -> Finding:
    """A metric that came with a newer version of records is no change of the training."""
    if found.kind is not FindingKind.NEW or found.metric is None:
        return found
    if found.metric.rpartition("/")[0] not in golden.workloads[found.workload].figures:
        return found
    reason = f"came with {version}; --update takes it into the golden"
    return replace(found, severity=Severity.WARN, reason=reason)


def _differences_to_note(golden: Golden, run: GatedRun) -> list[str]:
    """What differs and should not matter; worth a look if bytes differ too."""
    then, now = golden.made_with, run.made_with
    return [
        f"{name}: golden {then[name]}, run {now[name]}"
        for name in _NOTED
        if name in then and name in now and then[name] != now[name]
    ]


def _unused_rules(golden: Golden, run: GatedRun) -> list[str]:
    """Rules about nothing: most likely a slip of the pen."""
    if not golden.rules:
        return []
    known = {
        (metric, unit_of(metric, value))
        for workloads in (golden.workloads, run.figures)
        for figures in workloads.values()
        for metric, value in figures.metrics()
    }
    return [
        f"rule {number} ({rule.metric!r} in {rule.unit}) is about no metric of this golden or run"
        for number, rule in enumerate(golden.rules, start=1)
        if rule.metric != WORKLOAD
        and not any(unit is rule.unit and rule.names(metric) for metric, unit in known)
    ]


# ---- accepted ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    """What an update changed.

    Attributes:
        result: The differences that are now accepted, as the gate would have reported them.
        rebased: What was different about the conditions; empty where the golden holds for them.
        torch: The versions of torch that the golden holds for now.
        dropped: Those that it held for, and for which what changed has not been measured.
        added: Workloads that are new in the golden.
        changed: Workloads whose figures are others now.
        kept: Workloads that the run does not have, left as they were.
        removed: Workloads that the run does not have, taken out.
        same: How many workloads have the figures they had.
        leaks: What every step of a workload leaves behind, where that is new or more than it was.
    """

    result: GateResult = field(default_factory=GateResult)
    rebased: list[str] = field(default_factory=list)
    torch: tuple[str, ...] = ()
    dropped: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    same: int = 0
    leaks: dict[str, int] = field(default_factory=dict)


def update_golden(run: GatedRun, file: Path, *, prune: bool = False) -> Update:
    """Write the figures of a run into a golden file; its rules stay.

    Where a run of another torch has every figure of the golden, all of them equal, that version is
    added to those that the golden holds for. A golden of other conditions is made again as a whole,
    which the answer says.

    Args:
        run: What was measured.
        file: The golden file; it is made if there is none.
        prune: Take out workloads that the run does not have.

    Raises:
        GoldenError: The golden cannot be read or written, a record of the run is not valid, or a
            workload of other conditions would be left in the golden. Nothing is written.
    """
    golden = read_if_there(file) or Golden(conditions=run.conditions)
    if run.invalid:
        key, reason = next(iter(run.invalid.items()))
        raise GoldenError(
            f"{run.path}: a golden is made from valid records only, nothing was written; "
            f"{len(run.invalid)} {'are' if len(run.invalid) > 1 else 'is'} not, "
            f"first {key}: {reason}"
        )
    known = golden.workloads
    absent = [key for key in known if key not in run.figures]
    added = [key for key in run.figures if key not in known]
    both = [key for key in known if key in run.figures]
    changed = [key for key in both if not known[key].same_figures(run.figures[key])]
    rebased = golden.conditions.why_incomparable(run.conditions)
    if rebased and absent and not prune:
        raise GoldenError(
            f"{file}: {'; '.join(rebased)}; one golden cannot hold both, and {len(absent)} of its "
            f"workloads are not in the run (the first: {absent[0]}): measure all of them, or take "
            "them out with --prune"
        )
    conditions = golden.conditions_with(run.figures, run.conditions)
    kept = {} if prune else {key: known[key] for key in absent}
    made = Golden(
        conditions=conditions,
        made_with=dict(run.made_with),
        rules=golden.rules,
        workloads={**kept, **run.figures},
    )
    update = Update(
        result=_accepted(golden, run, prune=prune),
        rebased=rebased if conditions == run.conditions else [],
        torch=conditions.torch_versions,
        dropped=sorted({*golden.conditions.torch_versions} - {*conditions.torch_versions}),
        added=added,
        changed=changed,
        kept=list(kept),
        removed=absent if prune else [],
        same=len(both) - len(changed),
        leaks=_new_leaks(golden, run),
    )
    write_golden(file, made)
    return update


def _accepted(golden: Golden, run: GatedRun, *, prune: bool) -> GateResult:
    """The differences that an update accepts; names are paired where the old ones are taken out."""
    if not prune:
        return _compared(golden, run, missing=Missing.IGNORE)
    result = _compared(golden, run, missing=Missing.FAIL)
    kept = [found for found in result.findings if found.kind is not FindingKind.MISSING]
    return replace(result, findings=kept)


def _new_leaks(golden: Golden, run: GatedRun) -> dict[str, int]:
    """What is accepted of leaks, by workload: nobody accepts one without hearing of it."""
    found = {}
    for key, step in run.figures.items():
        now = totals_of(step)
        then = totals_of(golden.workloads[key]) if key in golden.workloads else None
        if now is not None and now.left > max(0, then.left if then else 0):
            found[key] = now.left
    return found
