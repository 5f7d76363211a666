"""Accepting a difference: the golden made anew from a run, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainfit.bench.gate.comparability import why_incomparable
from trainfit.bench.gate.compare import GateResult
from trainfit.bench.gate.golden import Entry, Golden, read_golden, write_golden
from trainfit.bench.gate.rules import GoldenError, Missing
from trainfit.bench.gate.run import GatedRun, gate, read_run


@dataclass(frozen=True)
class Update:
    """What an update changed.

    Attributes:
        result: The differences that are now accepted, as the gate would have reported them.
        rebased: What was different about the conditions; empty where they were the same.
        added: Workloads that are new in the golden.
        changed: Workloads whose figures are others now.
        kept: Workloads that the run does not have, left as they were.
        removed: Workloads that the run does not have, taken out.
        same: How many workloads have the figures they had.
    """

    result: GateResult = field(default_factory=GateResult)
    rebased: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    same: int = 0


def update_from_run(path: Path, file: Path, *, prune: bool = False) -> Update:
    """Write the figures of a run into a golden file; its rules stay.

    A golden of other conditions (another torch) is made anew as a whole, which the answer says.

    Args:
        path: The run folder.
        file: The golden file; it is made if there is none.
        prune: Take out workloads that the run does not have.

    Raises:
        GoldenError: The golden cannot be read or written, a record of the run is not valid, or a
            workload of another torch would be left in the golden. Nothing is written.
        RunFolderError: The run cannot be read.
    """
    return update_golden(read_run(path), file, prune=prune)


def update_golden(run: GatedRun, file: Path, *, prune: bool = False) -> Update:
    """The same for a run that has been read."""
    golden = read_golden(file) if file.exists() else Golden(conditions=run.conditions)
    _refuse_invalid(run.path, run.measured.invalid)
    made, update = updated(golden, run, file, prune=prune)
    write_golden(file, made)
    return update


def updated(
    golden: Golden, run: GatedRun, file: Path, *, prune: bool = False
) -> tuple[Golden, Update]:
    """The golden that a run would make, and how it differs from the one there is.

    Raises:
        GoldenError: Workloads made under other conditions would be left in it.
    """
    entries, known = run.measured.entries, golden.workloads
    rebased = why_incomparable(golden.conditions, run.conditions)
    absent = [key for key in known if key not in entries]
    if rebased and absent and not prune:
        raise GoldenError(
            f"{file}: {'; '.join(rebased)}; one golden cannot hold both, and {len(absent)} of its "
            f"workloads are not in the run (the first: {absent[0]}): measure all of them, or take "
            "them out with --prune"
        )
    kept: Mapping[str, Entry] = {} if prune else {key: known[key] for key in absent}
    made = Golden(
        conditions=run.conditions,
        made_with=run.made_with,
        rules=golden.rules,
        workloads={**kept, **entries},
    )
    both = [key for key in known if key in entries]
    changed = [key for key in both if known[key].figures != entries[key].figures]
    update = Update(
        result=gate(golden, run, missing=Missing.IGNORE),
        rebased=rebased,
        added=[key for key in entries if key not in known],
        changed=changed,
        kept=list(kept),
        removed=absent if prune else [],
        same=len(both) - len(changed),
    )
    return made, update


def _refuse_invalid(path: Path, invalid: Mapping[str, str]) -> None:
    if invalid:
        key, reason = next(iter(invalid.items()))
        raise GoldenError(
            f"{path}: a golden is made from valid records only, nothing was written; "
            f"{len(invalid)} {'are' if len(invalid) > 1 else 'is'} not, first {key}: {reason}"
        )
